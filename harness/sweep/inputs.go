package sweep

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
)

// inputs is the SHA-256 of what a batch is made from besides its settings, by
// the setting that names it: the hardware baseline, and every file.
func (sw *Sweep) inputs() (map[string]string, error) {
	s := sw.Settings
	hardware, err := json.Marshal(sw.hardware)
	if err != nil {
		return nil, err
	}
	out := map[string]string{"HW_BASELINE": fmt.Sprintf("%x", sha256.Sum256(hardware))}
	files := map[string]string{"ACC_BASELINE": s.Accuracy.Baseline, "DATASET_PATH": s.Workload.Path,
		"ENGINE_PROFILE": s.Engine.Profile, "TOKENIZER": s.Accuracy.Tokenizer}
	maps.Copy(files, s.Accuracy.Files)
	for name, file := range files {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue // not given, or the name of what is shipped
		}
		if out[name], err = digest(file); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
