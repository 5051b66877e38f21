package server

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheCacheIsResetWhereItCanBe(t *testing.T) {
	for name, c := range map[string]struct {
		dialect *Dialect
		answers map[string][]string
		err     string
		is      error
	}{
		"SGLang":                        {SGLang, map[string][]string{"/flush_cache": {"200 Cache flushed."}}, "", nil},
		"SGLang, with a storage tier":   {SGLang, map[string][]string{"/flush_cache": {"200 "}, "/hicache/storage-backend/clear": {"200 "}}, "", nil},
		"SGLang, with none":             {SGLang, map[string][]string{"/flush_cache": {"200 "}, "/hicache/storage-backend/clear": {"400 not enabled"}}, "", nil},
		"SGLang, while requests run":    {SGLang, map[string][]string{"/flush_cache": {"400 requests are running"}}, "HTTP 400: requests are running", nil},
		"vLLM, in development mode":     {VLLM, map[string][]string{"/reset_prefix_cache": {"200 "}}, "", nil},
		"vLLM, as it usually is":        {VLLM, nil, "", ErrNoReset},
		"a server of another make":      {OpenAI, map[string][]string{"/reset_prefix_cache": {"200 "}}, "", nil},
		"one that has no such endpoint": {OpenAI, map[string][]string{"/flush_cache": {"405 "}, "/reset_prefix_cache": {"501 "}}, "", ErrNoReset},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := script(t, c.answers)
			tg.Dialect = c.dialect
			err := tg.ResetCache(t.Context())
			switch {
			case c.is != nil:
				require.ErrorIs(t, err, c.is)
			case c.err != "":
				require.ErrorContains(t, err, c.err)
			default:
				require.NoError(t, err)
			}
			for path := range c.answers {
				assert.Len(t, asked[path], 1, path)
			}
		})
	}
}
