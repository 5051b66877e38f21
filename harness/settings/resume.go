package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// free are the settings that may change when a batch is resumed: they touch
// neither what is measured nor what it is measured on.
var free = map[string]bool{
	"RESUME": true, "ESTIMATE": true, "CONC": true, "RESULTS_DIR": true, "TEAM": true, "READY_TIMEOUT": true, "REQUEST_TIMEOUT": true,
	"API_KEY_FILE": true, "CA_FILE": true, "GPU_HOUR_USD": true, "GPU_WATTS": true, "DRY_RUN": true, "PROGRESS": true, "SCRAPE_EVERY": true, "METRICS_LISTEN": true,
	"LEADERBOARD_URL": true, "LEADERBOARD_TOKEN_FILE": true, "LEADERBOARD_DB": true, "LEADERBOARD_LISTEN": true,
}

// recorded are the settings that the batch in dir was run with, by name.
func recorded(dir string) (map[string]string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "plan.json"))
	if err != nil {
		return nil, fmt.Errorf("want a batch folder with its plan.json: %w", err)
	}
	var plan struct {
		ISL, OSL int
		Mode     string
		Settings map[string]string
	}
	if err := json.Unmarshal(b, &plan); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "plan.json"), err)
	}
	out := map[string]string{}
	for k, v := range plan.Settings {
		out[k] = v
	}
	delete(out, "CONC") // which cells are left, the folder knows
	delete(out, "RESUME")
	out["ISL"], out["OSL"], out["MODE"] = strconv.Itoa(plan.ISL), strconv.Itoa(plan.OSL), plan.Mode
	return out, nil
}

// mayChange reports whether the setting may be another one when a batch is
// resumed. A secret is not recorded, so it must be given anew.
func (sp spec) mayChange() bool { return free[sp.Env] || sp.Secret }

// agrees reports whether a setting given anew is what the batch was run with.
func (sp spec) agrees(value string, was map[string]string) error {
	old, ok := was[sp.Env]
	if !ok {
		old = sp.Default
	}
	if sp.mayChange() || value == old {
		return nil
	}
	if old == "" {
		old = "none"
	}
	return fmt.Errorf("the batch to resume was run with %s=%s: leave it out, or begin a new batch", sp.Env, old)
}
