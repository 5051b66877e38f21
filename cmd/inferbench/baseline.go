package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/convert"
)

func baselineCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "baseline", Short: "Keep the baselines that results are compared with",
		Example: `  inferbench baseline list
  inferbench baseline check baselines/hardware/*.json
  inferbench baseline add -from batch_isl1024_osl1024_20251125_150000 -name h200 -hardware "NVIDIA H200"`,
	}, &cobra.Command{
		Use: "list", Short: "List the baselines that are shipped", Args: want(0, 0, "no words"),
		RunE: func(c *cobra.Command, _ []string) error { return listBaselines(c.OutOrStdout()) },
	}, &cobra.Command{
		Use: "check FILE.json ...", Short: "Say whether baseline files are right, and which line is not",
		Args: want(1, -1, "the path of a .json file"),
		RunE: func(c *cobra.Command, files []string) error { return checkBaselines(c.OutOrStdout(), files) },
	}, addBaselineCommand())
}

func listBaselines(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "HARDWARE (HW_BASELINE)\tmachine\tmodel\tpoints\tratio\tGPUs\tdate")
	for _, name := range baselines.Names("hardware") {
		h, err := baselines.LoadHardware(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%d\t%g\t%d\t%s\n", name, h.Hardware, h.Model, len(h.Points),
			h.Workload.RandomRangeRatio, h.Workload.GPUs, h.Date)
	}
	fmt.Fprintln(tab, "\nACCURACY (ACC_BASELINE)\tmodels\ttask\tcorpus\tmax length\ttolerance\t")
	for _, name := range baselines.Names("accuracy") {
		a, err := baselines.LoadAccuracy(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%d\t±%g %%\t\n", name, strings.Join(a.Models, " "), a.Task, a.Corpus,
			a.MaxLength, a.Tolerance*100)
	}
	return tab.Flush()
}

// checkBaselines takes a file for what its folder says, else for the kind it
// loads as.
func checkBaselines(w io.Writer, files []string) error {
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
			fmt.Fprintln(w, err)
			continue
		}
		fmt.Fprintln(w, f+": good")
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

func addBaselineCommand() *cobra.Command {
	var from, name, hardware, source, dir string
	c := &cobra.Command{
		Use: "add -from BATCH -name NAME", Short: "Make a hardware baseline of a batch's finished cells",
		Args: want(0, 0, "flags only, as in inferbench baseline add -from batch_… -name h200"),
		RunE: func(c *cobra.Command, _ []string) error {
			if from == "" || name == "" {
				return usageError{fmt.Errorf("want a batch and a name, as in make baseline FROM=batch_… NAME=h200")}
			}
			if hardware == "" {
				hardware = strings.ToUpper(name)
			}
			folders, err := batch.OpenAll(from)
			if err != nil {
				return err
			}
			h, err := convert.Baseline(folders, name, hardware, source)
			if err != nil {
				return err
			}
			file, err := baselines.WriteHardware(dir, h)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d points of %s. Compare with it: HW_BASELINE=%s\n", file,
				len(h.Points), h.Model, h.Name)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "batch folders, with commas between")
	f.StringVar(&name, "name", "", "name of the baseline, as h200")
	f.StringVar(&hardware, "hardware", "", "the machine, for a reader; none takes the name")
	f.StringVar(&source, "source", "", "where the figures come from; none takes the folders' names")
	f.StringVar(&dir, "dir", "baselines", "folder of the baselines")
	return c
}
