package textfile_test

import (
	"context"
	"encoding/binary"
	"encoding/pem"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/convert"
	"inferbench/harness/engine"
	"inferbench/harness/engine/schedule"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/tokenizer"
	"inferbench/harness/workload"
)

// questions are rows of gsm8k, more than their examples.
var questions = strings.Repeat(`{"question":"1 + 1?","answer":"#### 2"}`+"\n", 3)

// readers has, for everything that is read from a file, such a file and what is
// made of it, in a form that can be compared.
var readers = map[string]struct {
	name, text string
	read       func(t *testing.T, file string) (any, error)
}{
	".env": {".env", "# mine\nISL=1024\nTP=4\n", func(t *testing.T, file string) (any, error) {
		return settings.Load(flag.NewFlagSet("", flag.ContinueOnError), nil, file)
	}},
	"a key": {"key", "s3cret\n", func(t *testing.T, file string) (any, error) {
		s, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), []string{"API_KEY_FILE=" + file}, "")
		return s.Server.APIKey, err
	}},
	"CA": {"ca.pem", certificate(), func(t *testing.T, file string) (any, error) {
		if s, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), []string{"CA_FILE=" + file}, ""); err != nil {
			return s, err
		}
		roots, err := server.Roots(file)
		return roots != nil, err
	}},
	"hardware baseline": {"x.json", read("../../baselines/hardware/b200-nv1126.json"), func(t *testing.T, file string) (any, error) {
		return baselines.LoadHardware(file)
	}},
	"accuracy baseline": {"x.json", read("../../baselines/accuracy/inferbench-ngram.json"), func(t *testing.T, file string) (any, error) {
		return baselines.LoadAccuracy(file)
	}},
	"engine profile": {"x.json", read("../engine/schedule/profiles/fast.json"), func(t *testing.T, file string) (any, error) {
		return schedule.LoadProfile(file)
	}},
	"tokenizer": {"tokenizer.json", read("../tokenizer/testdata/bytes/tokenizer.json"), func(t *testing.T, file string) (any, error) {
		tok, err := tokenizer.Load(file)
		if err != nil {
			return nil, err
		}
		return tok.Encode("a b c")
	}},
	"plan": {"plan.json", `{"isl":1,"osl":2,"conc":[4],"prompts":[8]}`, func(t *testing.T, file string) (any, error) {
		return batch.ReadPlan(filepath.Dir(file))
	}},
	"result": {"x.json", "{\n\"status\": \"PASSED\"\n}", func(t *testing.T, file string) (any, error) {
		return batch.ReadResult(file)
	}},
	"result of SGLang": {"x.jsonl", read("../convert/testdata/sglang.jsonl"), func(t *testing.T, file string) (any, error) {
		runs, _, err := convert.Read(file, convert.Hints{TP: 1})
		if err != nil {
			return nil, err
		}
		return runs[0].Result.Performance, nil
	}},
	"data set": {"x.jsonl", `{"prompt":"a b"}` + "\n" + `{"prompt":"c"}` + "\n", dataSet(workload.JSONL)},
	"ShareGPT": {"x.json", "[{\"conversations\":\n[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}]\n", dataSet(workload.ShareGPT)},
	"WikiText": {"x.raw", " \n = A title = \n \n Some words of the first article .\n \n = Another = \n \n Others of the second .\n",
		measure("wikitext", "WIKITEXT")},
	"gsm8k":          {"x.jsonl", questions, measure("gsm8k", "GSM8K")},
	"gsm8k examples": {"x.jsonl", questions, measure("gsm8k", "GSM8K_TRAIN")},
}

func read(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func certificate() string {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func dataSet(k *workload.Kind) func(*testing.T, string) (any, error) {
	return func(t *testing.T, file string) (any, error) {
		src, notes, err := workload.Open(t.Context(), workload.Spec{Kind: k, Path: file, N: 1, OSL: 4})
		if err != nil {
			return nil, err
		}
		require.NotContains(t, strings.Join(notes, ""), "could not be used")
		return src.Request(0)
	}
}

// measure has a file scored on the embedded engine.
func measure(task, name string) func(*testing.T, string) (any, error) {
	return func(t *testing.T, file string) (any, error) {
		e, err := engine.Start(engine.Config{})
		require.NoError(t, err)
		defer e.Close()
		s := server.New(e.URL(), "", "", nil)
		require.NoError(t, s.Wait(context.Background(), server.WaitOptions{}))
		r, err := accuracy.Score(t.Context(), s, accuracy.Options{Task: task, Files: map[string]string{name: file}, MaxLength: 256, Shots: 2,
			GenTokens: 4, Conc: 4})
		if err != nil {
			return nil, err
		}
		r.Text.Name = ""
		return r.Measured, nil
	}
}

// Whatever is read is read alike as each editor writes it, and refused in one
// line where it is not UTF-8.
func TestEveryFileIsReadAsEditorsWriteIt(t *testing.T) {
	for name, c := range readers {
		t.Run(name, func(t *testing.T) {
			read := func(text string) (any, error) {
				file := filepath.Join(t.TempDir(), c.name)
				require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
				return c.read(t, file)
			}
			want, err := read(c.text)
			require.NoError(t, err)
			windows := strings.ReplaceAll(c.text, "\n", "\r\n")
			for _, text := range []string{"\ufeff" + c.text, windows, "\ufeff" + windows} {
				got, err := read(text)
				require.NoError(t, err, "%.20q", text)
				assert.Equal(t, want, got, "%.20q", text)
			}
			_, err = read("\xff\xfe" + wide(c.text, binary.LittleEndian))
			require.ErrorContains(t, err, "this is UTF-16 text: save it as UTF-8")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}
