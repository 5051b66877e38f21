// Package sums is a few word problems of this project's own, in gsm8k's form: for
// the embedded engine, which knows their answers in a chat, and for tests. They
// take a task's whole way without public data.
package sums

import (
	_ "embed"
	"encoding/json"
	"strings"
)

// Test are the questions that are asked, Train those that examples are drawn
// from: JSON lines, {"question": …, "answer": "… #### number"}.
var (
	//go:embed test.jsonl
	Test string
	//go:embed train.jsonl
	Train string
)

// Answer is the answer to the question of Test that text holds; "" where it
// holds none.
func Answer(text string) string {
	for line := range strings.Lines(Test) {
		var row struct{ Question, Answer string }
		if json.Unmarshal([]byte(line), &row) == nil && strings.Contains(text, row.Question) {
			return row.Answer
		}
	}
	return ""
}
