package exchange

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"inferbench/harness/batch"
)

// WriteCSV writes one row a cell of all the folders: the batch, the cell, how
// it ended, then every single-valued figure and argument of the result files
// under its own key. A cell that has no such figure leaves the field empty.
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
			if c.Result != nil {
				if err := flatten(row, c.Result); err != nil {
					return fmt.Errorf("%s: %w", c.File, err)
				}
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

// flatten adds the result's own keys and those of its sections, one level
// deep. A section's key that the row has already keeps the first.
func flatten(row map[string]string, r *batch.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(b, &top); err != nil {
		return err
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
	for _, section := range []string{"benchmark_args", "accuracy"} {
		var inner map[string]json.RawMessage
		if json.Unmarshal(top[section], &inner) == nil {
			for k, raw := range inner {
				set(k, raw)
			}
		}
	}
	return nil
}
