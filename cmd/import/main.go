// Command import reads result files of other tools (vLLM's `bench serve
// --save-result`, SGLang's `bench_serving --output-file`, InferenceMAX and
// InferenceX) and writes them as batch folders, to compare with and to make
// baselines of.
//
//	import -isl 1024 -osl 1024 -tp 8 FILE ...
package main

import (
	"flag"
	"fmt"
	"os"

	"inferbench/harness/convert"
)

func main() {
	var h convert.Hints
	flag.StringVar(&h.Model, "model", "", "model, where the file does not name it or names it otherwise than your server")
	flag.IntVar(&h.ISL, "isl", 0, "input tokens asked for, where the file does not tell")
	flag.IntVar(&h.OSL, "osl", 0, "output tokens asked for, likewise")
	flag.IntVar(&h.TP, "tp", 0, "GPUs that throughput is divided by, likewise")
	flag.Float64Var(&h.RangeRatio, "random-range-ratio", 0, "lengths were uniform in [ratio·L, L], likewise (1: fixed)")
	out := flag.String("out", ".", "folder in which the batch folders are made")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: import [flags] FILE ...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(flag.Args(), h, *out); err != nil {
		fmt.Fprintln(os.Stderr, "import:", err)
		os.Exit(1)
	}
}

func run(files []string, h convert.Hints, out string) error {
	if len(files) == 0 {
		return fmt.Errorf("want a result file, as in make import FILE=result.json ISL=1024 OSL=1024 TP=8")
	}
	var runs []convert.Imported
	for _, f := range files {
		r, err := convert.Read(f, h)
		if err != nil {
			return err
		}
		runs = append(runs, r...)
	}
	dirs, err := convert.Write(out, runs)
	for _, d := range dirs {
		fmt.Println(d)
	}
	return err
}
