package server

import (
	"context"
	"errors"
	"net/http"
)

// neutral lists the sampling keys that change greedy decoding or its
// log-probabilities where a server has defaults of its own (a model's
// generation_config.json may set them), each with the values that switch it
// off, the usual one first.
var neutral = []struct {
	key    string
	values []any
}{
	{"repetition_penalty", []any{1.0}},
	{"frequency_penalty", []any{0.0}},
	{"presence_penalty", []any{0.0}},
	{"top_p", []any{1.0}},
	{"top_k", []any{-1, 0}}, // some servers want the one, some the other
	{"min_p", []any{0.0}},
}

// Neutralize finds out which of the neutral sampling keys the server takes, by
// asking for one token after prompt; [Scorer.Greedy] sends those from then on.
// It lists the keys that the server refuses, whose defaults stay in force. The
// error is one that has nothing to do with them.
func (s *Scorer) Neutralize(ctx context.Context, prompt []int32) (refused []string, err error) {
	name := func(key string) string {
		if key == "repetition_penalty" && s.t.Dialect.RepetitionPenalty != "" {
			return s.t.Dialect.RepetitionPenalty
		}
		return key
	}
	try := func(sampling map[string]any) error {
		s.sampling = sampling
		_, err := s.Greedy(ctx, prompt, 1)
		return err
	}
	all := map[string]any{}
	for _, n := range neutral {
		all[name(n.key)] = n.values[0]
	}
	if err := try(all); !refusal(err) {
		return nil, err
	}
	if err := try(nil); err != nil { // without any of them, too
		return nil, err
	}
	taken := map[string]any{}
	for _, n := range neutral {
		key := name(n.key)
		for _, v := range n.values {
			err := try(map[string]any{key: v})
			if err == nil {
				taken[key] = v
				break
			}
			if !refusal(err) {
				return nil, err
			}
		}
		if _, ok := taken[key]; !ok {
			refused = append(refused, key)
		}
	}
	s.sampling = taken
	return refused, nil
}

// refusal reports whether a server refuses a request for what is in it.
func refusal(err error) bool {
	var h *HTTPError
	return errors.As(err, &h) && (h.Status == http.StatusBadRequest || h.Status == http.StatusUnprocessableEntity)
}
