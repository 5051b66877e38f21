package stats

// Power is the electric energy that the server's GPUs took over a run. Where it
// could not be measured, valid is false, reasons say why, and every figure is
// null. The formula and the keys are InferenceX's (power_metric_schema_version 2).
type Power struct {
	Valid   bool     `json:"valid"`
	Reasons []string `json:"reasons"`
	From    string   `json:"from"` // the tool, the file or the page that told
	GPUs    int      `json:"gpus"` // that were sampled
	Schema  int      `json:"power_metric_schema_version"`

	AvgPowerW      *float64 `json:"avg_power_w"` // of one GPU
	AvgTotalPowerW *float64 `json:"avg_total_gpu_power_w"`
	TotalEnergyJ   *float64 `json:"total_gpu_energy_j"`

	JoulesPerQuery       *float64 `json:"joules_per_successful_query"`
	JoulesPerInputToken  *float64 `json:"joules_per_input_token"`
	JoulesPerOutputToken *float64 `json:"joules_per_output_token"`
	JoulesPerTotalToken  *float64 `json:"joules_per_total_token"`
	TokensPerSPerW       *float64 `json:"tokens_per_s_per_w"` // input and output

	Throttled string `json:"throttled,omitempty"` // a sentence, where GPUs' clocks fell while they were busy
}

// PowerSchema is the version of these keys.
const PowerSchema = 2

// Spend fills in the figures of an energy (J) that so many GPUs took over a run,
// with what the run did for it. Tokens that nobody counted have no figure.
func (p *Power) Spend(joules float64, gpus int, s *Summary) {
	per := func(n float64) *float64 {
		if !(n > 0) {
			return nil
		}
		v := joules / n
		return &v
	}
	p.TotalEnergyJ, p.AvgTotalPowerW = &joules, per(s.Duration)
	p.AvgPowerW = per(s.Duration * float64(gpus))
	p.JoulesPerQuery = per(float64(s.Successful))
	p.JoulesPerOutputToken = per(float64(s.OutputTokens))
	if s.InputTokens != nil {
		in, all := float64(*s.InputTokens), float64(*s.InputTokens+s.OutputTokens)
		p.JoulesPerInputToken, p.JoulesPerTotalToken = per(in), per(all)
		if joules > 0 && all > 0 {
			v := all / joules
			p.TokensPerSPerW = &v
		}
	}
}
