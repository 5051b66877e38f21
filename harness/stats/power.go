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

	Roles // nil where prefill and decode have no GPUs of their own

	Throttled string `json:"throttled,omitempty"` // a sentence, where GPUs' clocks fell while they were busy
}

// Roles is the energy of disaggregated serving, of the GPUs that prefill and of those
// that decode.
type Roles struct {
	PrefillEnergyJ        *float64 `json:"prefill_gpu_energy_j,omitempty"`
	DecodeEnergyJ         *float64 `json:"decode_gpu_energy_j,omitempty"`
	PrefillPowerW         *float64 `json:"prefill_avg_power_w,omitempty"` // of one GPU
	DecodePowerW          *float64 `json:"decode_avg_power_w,omitempty"`
	PrefillJoulesPerInput *float64 `json:"prefill_joules_per_input_token,omitempty"`
	DecodeJoulesPerOutput *float64 `json:"decode_joules_per_output_token,omitempty"`
}

// PowerSchema is the version of these keys.
const PowerSchema = 2

// joulesPer is an energy for each of so many; nil where there are none.
func joulesPer(joules, n float64) *float64 {
	if !(n > 0) {
		return nil
	}
	v := joules / n
	return &v
}

// SpendApart fills in the figures of energies (J) that the GPUs which prefill and those
// which decode took over a run.
func (p *Power) SpendApart(prefill float64, prefilling int, decode float64, decoding int, s *Summary) {
	p.Roles = Roles{PrefillEnergyJ: &prefill, DecodeEnergyJ: &decode,
		PrefillPowerW:         joulesPer(prefill, s.Duration*float64(prefilling)),
		DecodePowerW:          joulesPer(decode, s.Duration*float64(decoding)),
		DecodeJoulesPerOutput: joulesPer(decode, float64(s.OutputTokens))}
	if s.InputTokens != nil {
		p.PrefillJoulesPerInput = joulesPer(prefill, float64(*s.InputTokens))
	}
}

// Spend fills in the figures of an energy (J) that so many GPUs took over a run,
// with what the run did for it. Tokens that nobody counted have no figure.
func (p *Power) Spend(joules float64, gpus int, s *Summary) {
	per := func(n float64) *float64 { return joulesPer(joules, n) }
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
