package convert

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// sections of a result file that a table has room for, with what their keys
// begin with there. Keys at the top of a file stay as they are.
var sections = []struct{ key, prefix string }{
	{"benchmark_args", ""}, {"hardware_baseline", "baseline_"}, {"accuracy", "accuracy_"},
	{"accuracy_validation", "accuracy_validation_"}, {"server_metrics", "server_"},
}

// WriteCSV writes one row a cell of all the folders: the batch, the cell, how
// it ended and in how many seconds, then its figures (package figures) and
// every other single value of its result file under its own key, and those of
// its sections. A cell that has no such figure leaves the field empty.
func WriteCSV(w io.Writer, folders []*batch.Folder) error {
	lead := []string{"batch", "isl", "osl", "conc", "status", "seconds"}
	var keys []string
	var rows []map[string]string
	for _, f := range folders {
		for _, c := range f.Cells {
			row := map[string]string{
				"batch": f.Dir, "isl": strconv.Itoa(c.ISL), "osl": strconv.Itoa(c.OSL), "conc": strconv.Itoa(c.Conc),
				"status": string(c.Status), "seconds": fmt.Sprintf("%.0f", c.Took.Seconds()),
			}
			if c.File != "" {
				if err := flatten(row, c.File); err != nil {
					return err
				}
			}
			if c.Result != nil {
				setFigures(row, c.Result)
			}
			for k := range row {
				if !slices.Contains(lead, k) && !slices.Contains(keys, k) {
					keys = append(keys, k)
				}
			}
			rows = append(rows, row)
		}
	}
	slices.Sort(keys)
	header := append(lead, keys...)
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	for _, row := range rows {
		record := make([]string, len(header))
		for i, k := range header {
			record[i] = row[k]
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// setFigures adds the figures that were measured and that are not there yet, as
// those of sections are not, and takes out those that were not measured.
func setFigures(row map[string]string, r *batch.Result) {
	for _, f := range figures.Table {
		v := f.Of(r)
		_, there := row[f.Key]
		switch {
		case v == nil:
			delete(row, f.Key)
		case !there:
			row[f.Key] = strconv.FormatFloat(*v, 'f', -1, 64)
		}
	}
}

// flatten adds what a result file holds, as it holds it: a key of its top that
// the row has already keeps the first.
func flatten(row map[string]string, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	set := func(key string, raw json.RawMessage) {
		var v any
		if _, taken := row[key]; taken || json.Unmarshal(raw, &v) != nil {
			return
		}
		switch v := v.(type) {
		case string:
			row[key] = v
		case bool:
			row[key] = strconv.FormatBool(v)
		case float64:
			row[key] = string(raw)
		}
	}
	for k, raw := range top {
		set(k, raw)
	}
	for _, s := range sections {
		var inner map[string]json.RawMessage
		if json.Unmarshal(top[s.key], &inner) == nil {
			for k, raw := range inner {
				set(s.prefix+strings.TrimPrefix(k, s.prefix), raw)
			}
		}
	}
	return nil
}
