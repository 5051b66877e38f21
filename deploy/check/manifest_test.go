// Package check reads the manifests of this folder as Kubernetes would: with
// its own types, strictly, so that a key that does not exist is an error.
package check

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestKubernetesManifest(t *testing.T) {
	file, err := os.ReadFile("../kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := bytes.Split(file, []byte("\n---\n"))
	if len(documents) != 2 {
		t.Fatalf("%d documents, want a claim and a job", len(documents))
	}
	var claim corev1.PersistentVolumeClaim
	if err := yaml.UnmarshalStrict(documents[0], &claim); err != nil {
		t.Fatal(err)
	}
	if len(claim.Spec.AccessModes) != 1 || claim.Spec.AccessModes[0] != corev1.ReadWriteMany {
		t.Error("the claim must be ReadWriteMany: all pods meet in it")
	}
	var job batchv1.Job
	if err := yaml.UnmarshalStrict(documents[1], &job); err != nil {
		t.Fatal(err)
	}
	if job.APIVersion != "batch/v1" || job.Kind != "Job" {
		t.Errorf("%s %s", job.APIVersion, job.Kind)
	}
	spec := job.Spec
	if spec.CompletionMode == nil || *spec.CompletionMode != batchv1.IndexedCompletion {
		t.Error("completionMode must be Indexed")
	}
	if *spec.Parallelism != *spec.Completions || *spec.BackoffLimit != 0 {
		t.Error("all shards run at once, and none again")
	}
	pod := spec.Template.Spec
	if pod.RestartPolicy != corev1.RestartPolicyNever || pod.Volumes[0].PersistentVolumeClaim.ClaimName != claim.Name {
		t.Error("a pod must not restart, and must mount the claim")
	}
	// $(NAME) is expanded from variables further up alone.
	seen, env := map[string]bool{}, map[string]string{}
	for _, v := range pod.Containers[0].Env {
		for _, ref := range regexp.MustCompile(`\$\((\w+)\)`).FindAllStringSubmatch(v.Value, -1) {
			if !seen[ref[1]] {
				t.Errorf("%s uses $(%s), which does not stand before it", v.Name, ref[1])
			}
		}
		seen[v.Name], env[v.Name] = true, v.Value
	}
	if want := fmt.Sprintf("$(INDEX)/%d", *spec.Completions); env["SHARD"] != want {
		t.Errorf("SHARD is %q, want %q", env["SHARD"], want)
	}
	container := pod.Containers[0]
	if container.SecurityContext.ReadOnlyRootFilesystem == nil || !*container.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the pod's own file system must be read-only")
	}
	for _, name := range []string{"SHARD_DIR", "RESULTS_DIR", "CACHE_DIR"} { // all that the suite writes
		if !strings.HasPrefix(env[name]+"/", container.VolumeMounts[0].MountPath+"/") {
			t.Errorf("%s is %q, want a folder under %s", name, env[name], container.VolumeMounts[0].MountPath)
		}
	}
	if !strings.Contains(env["SHARD_DIR"], "$(JOB)") {
		t.Error("each job needs a SHARD_DIR of its own")
	}
}

// The image is built of the whole folder, so the file with the keys must stay out.
func TestTheImageIsBuiltWithoutSecrets(t *testing.T) {
	b, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains("\n"+string(b), "\n.env\n") {
		t.Error(".dockerignore must name .env")
	}
}
