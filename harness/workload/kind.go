package workload

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Kind is a kind of data set. Each has a file of its own and a place in [Kinds];
// nothing outside that file asks for a kind by its name.
type Kind struct {
	Name string // as DATASET names it and results record it
	What string // in a few words, for the help

	File     bool  // it reads a file, its prompts as they are: without range ratio or shared prefix
	Times    bool  // its requests can say when they are to be sent
	IDs      bool  // its prompts are token ids, which chat endpoints and some servers do not take
	InChat   *Kind // what is sent in its place to the chat endpoint; nil where nothing can
	InWords  *Kind // what is sent in its place to a server that takes no ids; nil where nothing can
	Vocab    bool  // it makes up token ids, and so wants to know how many there are
	Standard bool  // it is what the competition and the hardware baselines are measured with
	OneSeed  bool  // the seed picks among its prompts, so that all cells of a sweep use the same one

	// Counts says whether it counts tokens by the server's tokenizer.
	Counts Need
	Texts  bool // it asks for the text of token ids

	// Open makes the source that s describes, and notes on it: see [Open].
	Open opener
}

type opener func(ctx context.Context, s Spec) (Source, []string, error)

// Need says whether a kind needs what a server may not have.
type Need int

const (
	NotUsed Need = iota
	Used         // where the server has it
	Needed       // it makes no prompts without
)

// Kinds are all kinds, in the order of the help; the first is the default.
var Kinds = []*Kind{RandomIDs, RandomText, ShareGPT, JSONL}

// String is the kind's name.
func (k *Kind) String() string { return k.Name }

// KindNamed is the kind of that name.
func KindNamed(name string) (*Kind, error) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return nil, errors.New("want " + KindNames(func(*Kind) bool { return true }))
}

// KindNames lists the kinds that are so, as a person would: text, sharegpt or jsonl.
func KindNames(are func(*Kind) bool) string {
	var names []string
	for _, k := range Kinds {
		if are(k) {
			names = append(names, k.Name)
		}
	}
	if n := len(names); n > 1 {
		names = slices.Replace(names, n-2, n, names[n-2]+" or "+names[n-1])
	}
	return strings.Join(names, ", ")
}
