package sweep

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// inputs is the SHA-256 of what a batch is made from besides its settings, by
// the setting that names it: the hardware baseline, and every file.
func (sw *Sweep) inputs() (map[string]string, error) {
	hardware, err := json.Marshal(sw.hardware)
	if err != nil {
		return nil, err
	}
	out := map[string]string{"HW_BASELINE": fmt.Sprintf("%x", sha256.Sum256(hardware))}
	for name, file := range sw.Settings.Inputs() {
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
