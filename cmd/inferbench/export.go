package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"inferbench/harness/batch"
	"inferbench/harness/convert"
	"inferbench/harness/settings"
)

// exported is what export was asked for besides the batches.
type exported struct {
	format, out     string
	identity        convert.Identity
	prefill, decode string
}

func exportCommand() *cobra.Command {
	var e exported
	c := &cobra.Command{
		Use: "export BATCH ...", Short: "Write batches as one CSV table, or as InferenceX's aggregates",
		Long: `Export writes batches as one CSV table to standard output, a row a cell; or with
-format inferencex as InferenceX's aggregates, agg_*.json, a file a cell, with
the eval rows of what was scored in agg_eval_all.json. Those name what a result
does not tell: what nobody tells is refused, and nothing is written.`,
		Example: `  inferbench export batch_isl1024_osl1024_* > cells.csv
  inferbench export -format inferencex -hw b200 -image lmsysorg/sglang:v0.5.9 -model-prefix dsr1 -precision fp4 \
    -spec-decoding none -ep 8 -dp-attention false -out results batch_isl8192_osl1024_*
  inferbench export -format inferencex … -prefill tp=4,ep=4,dp-attention=true,workers=5 \
    -decode tp=8,ep=8,dp-attention=true,workers=1 batch_…`,
		Args: want(1, -1, "a batch folder, as in make csv BATCH=batch_…"),
		RunE: func(c *cobra.Command, dirs []string) error {
			if e.format != "csv" && e.format != "inferencex" {
				return fmt.Errorf("-format %q: want csv or inferencex", e.format)
			}
			var folders []*batch.Folder
			for _, d := range dirs {
				f, err := batch.Open(d)
				if err != nil {
					return err
				}
				folders = append(folders, f)
			}
			if e.format == "csv" {
				return convert.WriteCSV(c.OutOrStdout(), folders)
			}
			return e.aggregates(c, folders)
		},
	}
	f := c.Flags()
	f.StringVar(&e.format, "format", "csv", "csv or inferencex")
	f.StringVar(&e.out, "out", "", "folder of the aggregates; none is RESULTS_DIR")
	id := &e.identity
	f.StringVar(&id.HW, "hw", "", "inferencex: the hardware, as b200 (RUNNER_TYPE)")
	f.StringVar(&id.Image, "image", "", "inferencex: the container image")
	f.StringVar(&id.Model, "model", "", "inferencex: the model, where it is not the result's")
	f.StringVar(&id.Prefix, "model-prefix", "", "inferencex: its prefix there, as dsr1 or gptoss")
	f.StringVar(&id.Framework, "framework", "", "inferencex: the framework, where it is not the result's backend")
	f.StringVar(&id.Precision, "precision", "", "inferencex: fp4, fp8, bf16 …")
	f.StringVar(&id.SpecDecoding, "spec-decoding", "", "inferencex: none, mtp …, where the server did not tell")
	f.StringVar(&id.Recipe, "recipe-fingerprint", "", "inferencex: the recipe's fingerprint")
	f.StringVar(&id.Router, "router", "", "inferencex: the router, as NAME@VERSION")
	f.StringVar(&id.KVTransfer, "kv-transfer", "", "inferencex: how KV blocks are transferred")
	f.StringVar(&id.KVOffloading, "kv-offloading", "", "inferencex, of sessions: where KV blocks go from the GPUs, as "+
		"dram; none is nowhere")
	f.StringVar(&id.KVOffloadBackend, "kv-offload-backend", "", "inferencex, of sessions: by what, as hicache or "+
		"lmcache@0.5.1")
	f.IntVar(&id.CPUDRAM, "cpu-dram-gb", 0, "inferencex, of sessions: host memory that is set aside for them")
	f.IntVar(&id.Node.TP, "tp", 0, "inferencex: tensor parallelism of one node; none takes the result's GPUs")
	f.IntVar(&id.Node.PP, "pp", 0, "inferencex: pipeline parallelism; none takes what the server said, or 1")
	f.IntVar(&id.Node.DCP, "dcp", 1, "inferencex: decode context parallelism")
	f.IntVar(&id.Node.PCP, "pcp", 1, "inferencex: prefill context parallelism")
	f.IntVar(&id.Node.EP, "ep", 0, "inferencex: expert parallelism; none takes what the server said")
	f.StringVar(&id.Node.DPAttention, "dp-attention", "", "inferencex: true or false; none takes what the server said")
	f.StringVar(&e.prefill, "prefill", "", "inferencex: the prefill workers of a disaggregated server, as tp=4,ep=4,"+
		"dp-attention=true,workers=5 (pp, dcp, pcp, hw)")
	f.StringVar(&e.decode, "decode", "", "inferencex: its decode workers, likewise")
	return c
}

func (e exported) aggregates(c *cobra.Command, folders []*batch.Folder) (err error) {
	id := e.identity
	if (e.prefill == "") != (e.decode == "") {
		return errors.New("-prefill and -decode go together")
	}
	if id.Node.DPAttention != "" && id.Node.DPAttention != "true" && id.Node.DPAttention != "false" {
		return fmt.Errorf("-dp-attention %q: want true or false", id.Node.DPAttention)
	}
	if id.Router != "" && strings.Count(id.Router, "@") != 1 {
		return fmt.Errorf("-router %q: want NAME@VERSION", id.Router)
	}
	if (id.KVOffloading == "" || id.KVOffloading == "none") != (id.KVOffloadBackend == "") {
		return errors.New("-kv-offloading and -kv-offload-backend go together")
	}
	if id.Disagg = e.prefill != ""; id.Disagg {
		if id.Prefill, err = convert.ParseLayout(e.prefill); err != nil {
			return fmt.Errorf("-prefill: %w", err)
		}
		if id.Decode, err = convert.ParseLayout(e.decode); err != nil {
			return fmt.Errorf("-decode: %w", err)
		}
	}
	out := e.out
	if out == "" {
		flags := flag.NewFlagSet("export", flag.ContinueOnError)
		settings.Register(flags)
		set, err := settings.Load(flags, os.Environ(), ".env")
		if err != nil {
			return err
		}
		out = set.Results.Dir
	}
	files, notes, err := convert.Aggregates(out, folders, id)
	for _, n := range notes {
		fmt.Fprintln(c.ErrOrStderr(), n)
	}
	for _, f := range files {
		fmt.Fprintln(c.OutOrStdout(), f)
	}
	return err
}
