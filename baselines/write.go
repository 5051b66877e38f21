package baselines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/google/renameio/v2"
)

var fileName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// WriteHardware writes a new hardware baseline into the folder hardware of
// dir, checked as it is when loaded, whole or not at all, and returns its path.
// Shipped baselines are embedded, so it can be named from the next build on. A
// baseline of that name is not overwritten.
func WriteHardware(dir string, h *Hardware) (string, error) {
	if !fileName.MatchString(h.Name) {
		return "", fmt.Errorf("baseline name %q: want small letters, digits and single hyphens, as h200 or h200-1126", h.Name)
	}
	b, err := encode(h)
	if err != nil {
		return "", fmt.Errorf("hardware baseline %s: %w", h.Name, err)
	}
	if err := h.validate(); err != nil {
		return "", fmt.Errorf("hardware baseline %s: %w", h.Name, withLine(b, err))
	}
	file := filepath.Join(dir, "hardware", h.Name+".json")
	if _, err := os.Stat(file); err == nil {
		return "", fmt.Errorf("%s is there already: choose another name, or delete it first", file)
	}
	if err := renameio.WriteFile(file, b, 0o644); err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	return file, nil
}

// encode returns the baseline as a file, one line a point.
func encode(h *Hardware) ([]byte, error) {
	points := h.Points
	bare := *h
	bare.Points = nil
	b, err := json.MarshalIndent(bare, "", "  ")
	if err != nil {
		return nil, err
	}
	var list bytes.Buffer
	list.WriteString("[\n")
	for i, p := range points {
		row, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		row = bytes.ReplaceAll(bytes.ReplaceAll(row, []byte(`,"`), []byte(`, "`)), []byte(`":`), []byte(`": `))
		list.WriteString("    ")
		list.Write(row)
		if i < len(points)-1 {
			list.WriteByte(',')
		}
		list.WriteByte('\n')
	}
	list.WriteString("  ]")
	return append(bytes.Replace(b, []byte(`"points": null`), append([]byte(`"points": `), list.Bytes()...), 1), '\n'), nil
}
