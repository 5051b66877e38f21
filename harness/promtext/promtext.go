// Package promtext reads /metrics pages as servers, routers and exporters write
// them: Prometheus's text format, and what OpenMetrics lays over it.
package promtext

import (
	"bytes"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Read parses a page into its families of metrics. Besides the text format it takes
// a byte order mark, lines that end in \r\n, a last line without an end, exemplars
// and fractional timestamps (OpenMetrics), and a HELP or TYPE that is told again, as
// by a router that puts its workers' pages one behind the other: the first counts.
func Read(page []byte) (map[string]*dto.MetricFamily, error) {
	page = bytes.TrimPrefix(page, []byte("\ufeff"))
	plain := make([]byte, 0, len(page)+1)
	told := map[string]bool{} // "HELP name", "TYPE name", and the names of samples
	for line := range bytes.Lines(page) {
		line = bytes.TrimSpace(line)
		if what, name := about(line); what != nil {
			key := string(what) + " " + string(name)
			if told[key] || string(what) == "TYPE" && told[string(name)] { // behind its samples it comes too late
				continue
			}
			told[key] = true
		} else if len(line) > 0 && line[0] != '#' {
			line = sample(line)
			told[string(sampleName(line))] = true
		}
		plain = append(append(plain, line...), '\n')
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(plain))
	if start := bytes.TrimSpace(page); err != nil && bytes.ContainsAny(start[:min(1, len(start))], "<{[") {
		return nil, fmt.Errorf("this is no metrics page (it starts %.40q)", start)
	}
	return families, err
}

// about tells, for a line that says the HELP or TYPE of a family of metrics, which of
// these and of which family.
func about(line []byte) (what, name []byte) {
	if !bytes.HasPrefix(line, []byte{'#'}) {
		return nil, nil
	}
	words := bytes.Fields(line)
	if len(words) < 3 || string(words[0]) != "#" || string(words[1]) != "HELP" && string(words[1]) != "TYPE" {
		return nil, nil
	}
	return words[1], bytes.Trim(words[2], `"`)
}

// sample is a sample's line up to the end of its value: without a timestamp, which
// nothing here uses, and without an exemplar.
func sample(line []byte) []byte {
	from := max(bytes.IndexAny(line, " \t"), 0) // behind the name
	inside := false
labels:
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '}':
			from = i + 1
			break labels
		case c == '#': // an exemplar's braces are behind it
			break labels
		}
	}
	value := bytes.TrimLeft(line[from:], " \t")
	if end := bytes.IndexAny(value, " \t"); end >= 0 {
		return line[:len(line)-len(value)+end]
	}
	return line
}

// sampleName is the name of a sample's metric.
func sampleName(line []byte) []byte {
	line = bytes.TrimLeft(line, "{ \t\"")
	return line[:max(bytes.IndexAny(line, " \t{\","), 0)]
}
