package settings

import (
	"fmt"
	"maps"
	"strconv"

	"inferbench/harness/batch"
)

// recorded are the settings that the batch in dir was run with, by name.
func recorded(dir string) (map[string]string, error) {
	plan, err := batch.ReadPlan(dir)
	if err != nil {
		return nil, fmt.Errorf("want a batch folder with its plan.json: %w", err)
	}
	out := map[string]string{}
	maps.Copy(out, plan.Settings)
	delete(out, "CONC") // which cells are left, the folder knows
	delete(out, "RESUME")
	out["MODE"] = plan.Mode
	if plan.Scenario == "" {
		out["ISL"], out["OSL"] = strconv.Itoa(plan.ISL), strconv.Itoa(plan.OSL)
	}
	return out, nil
}

// mayChange reports whether the setting may be another one when a batch is
// resumed. A secret is not recorded, so it must be given anew.
func (r row) mayChange() bool { return r.MayChange || r.Secret }

// agrees is an error where a setting given anew is not what the batch was run
// with.
func (r row) agrees(value string, plan map[string]string) error {
	old, ok := plan[r.Env]
	if !ok {
		old = r.Default
	}
	if r.mayChange() || value == old {
		return nil
	}
	if old == "" {
		old = "none"
	}
	return fmt.Errorf("the batch to resume was run with %s=%s: leave it out, or begin a new batch", r.Env, old)
}

// MayChange reports whether the setting of a name touches neither what is measured
// nor what it is measured on.
func MayChange(name string) bool {
	for _, r := range table {
		if r.Env == name {
			return r.mayChange()
		}
	}
	return false
}
