// Command baseline keeps the baselines that results are compared with.
//
//	baseline list                              those shipped
//	baseline check FILE.json ...               whether files are right, and which line is not
//	baseline add -from BATCH -name h200        a new one, of a batch's finished cells
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/convert"
)

const usage = `usage:
  baseline list                              those shipped
  baseline check FILE.json ...               whether files are right, and which line is not
  baseline add -from BATCH -name h200        a new one, of a batch's finished cells; more with baseline add -h`

func main() {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "baseline:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("want list, check FILE.json or add -from BATCH -name NAME")
	}
	switch args[0] {
	case "list":
		return list()
	case "check":
		return check(args[1:])
	case "add":
		return add(args[1:])
	}
	return fmt.Errorf("%s: want list, check or add", args[0])
}

func list() error {
	tab := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "HARDWARE (HW_BASELINE)\tmachine\tmodel\tpoints\tratio\tGPUs\tdate")
	for _, name := range baselines.Names("hardware") {
		h, err := baselines.LoadHardware(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%d\t%g\t%d\t%s\n", name, h.Hardware, h.Model, len(h.Points), h.Workload.RandomRangeRatio, h.Workload.GPUs, h.Date)
	}
	fmt.Fprintln(tab, "\nACCURACY (ACC_BASELINE)\tmodels\ttask\tcorpus\tmax length\ttolerance\t")
	for _, name := range baselines.Names("accuracy") {
		a, err := baselines.LoadAccuracy(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%d\t±%g %%\t\n", name, strings.Join(a.Models, " "), a.Task, a.Corpus, a.MaxLength, a.Tolerance*100)
	}
	return tab.Flush()
}

// check takes a file for what its folder says, else for the kind it loads as.
func check(files []string) error {
	if len(files) == 0 {
		return errors.New("check: want the path of a .json file")
	}
	bad := 0
	for _, f := range files {
		var err error
		if isAccuracy(f) {
			_, err = baselines.LoadAccuracy(f)
		} else {
			_, err = baselines.LoadHardware(f)
		}
		if err != nil {
			bad++
			fmt.Println(err)
			continue
		}
		fmt.Println(f + ": good")
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d files are not right", bad, len(files))
	}
	return nil
}

func isAccuracy(file string) bool {
	b, err := os.ReadFile(file)
	return filepath.Base(filepath.Dir(file)) == "accuracy" || err == nil && strings.Contains(string(b), `"corpus_sha256"`)
}

func add(args []string) error {
	flags := flag.NewFlagSet("baseline add", flag.ExitOnError)
	from := flags.String("from", "", "batch folders, with commas between")
	name := flags.String("name", "", "name of the baseline, as h200")
	hardware := flags.String("hardware", "", "the machine, for a reader; none takes the name")
	source := flags.String("source", "", "where the figures come from; none takes the folders' names")
	dir := flags.String("dir", "baselines", "folder of the baselines")
	flags.Parse(args)
	if *from == "" || *name == "" {
		return errors.New("add: want a batch and a name, as in make baseline FROM=batch_… NAME=h200")
	}
	if *hardware == "" {
		*hardware = strings.ToUpper(*name)
	}
	folders, err := batch.OpenAll(*from)
	if err != nil {
		return err
	}
	h, err := convert.Baseline(folders, *name, *hardware, *source)
	if err != nil {
		return err
	}
	file, err := baselines.WriteHardware(*dir, h)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d points of %s. Compare with it: HW_BASELINE=%s\n", file, len(h.Points), h.Model, h.Name)
	return nil
}
