package workload_test

import (
	"context"
	"fmt"
	"log"

	"inferbench/harness/workload"
)

// Request i follows from the seed and i alone, on every machine.
func ExampleRandom() {
	prompts := workload.Random{N: 200, ISL: 1024, OSL: 1024, RangeRatio: 0.8, Vocab: 128256, Seed: 1}
	for _, i := range []int{0, 199} {
		r, err := prompts.Request(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("request %d: %d tokens in, %d out\n", i, len(r.Tokens), r.OutputLen)
	}
	// Output:
	// request 0: 942 tokens in, 837 out
	// request 199: 840 tokens in, 1010 out
}

// A source of any kind is opened from a Spec. Its notes are for who reads the
// figures.
func ExampleOpen() {
	kind, err := workload.KindNamed("jsonl")
	if err != nil {
		log.Fatal(err)
	}
	src, notes, err := workload.Open(context.Background(), workload.Spec{
		Kind: kind, Path: "testdata/prompts.jsonl", N: 3, ISL: 1024, OSL: 64,
	})
	if err != nil {
		log.Fatal(err)
	}
	for i := range src.Len() {
		r, err := src.Request(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q: %d tokens\n", r.Text, r.OutputLen)
	}
	fmt.Println(notes)
	// Output:
	// "What is a token?": 128 tokens
	// "Why is the sky blue?": 64 tokens
	// "What is a token?": 128 tokens
	// [the data set has 2 prompts for 3 requests: they repeat, and a prefix cache may answer the repeats]
}
