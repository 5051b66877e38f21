package engine_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/engine/schedule"
)

// serve starts an engine and returns OpenAI's own client for it: what proves
// the wire is a client that this project did not write.
func serve(t *testing.T, cfg engine.Config) (*engine.Engine, openai.Client) {
	e, err := engine.Start(cfg)
	require.NoError(t, err)
	hc := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		hc.CloseIdleConnections()
		require.NoError(t, e.Close())
	})
	key := cfg.APIKey
	if key == "" {
		key = "none"
	}
	return e, openai.NewClient(option.WithBaseURL(e.URL()+"/v1"), option.WithAPIKey(key), option.WithHTTPClient(hc), option.WithMaxRetries(0))
}

func TestOpenAIModels(t *testing.T) {
	_, c := serve(t, engine.Config{})
	page, err := c.Models.List(t.Context())
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	assert.Equal(t, engine.ModelName, page.Data[0].ID)
	assert.Equal(t, "inferbench", page.Data[0].OwnedBy)
}

func completionParams(prompt string, tokens int64) openai.CompletionNewParams {
	return openai.CompletionNewParams{
		Model:       engine.ModelName,
		Prompt:      openai.CompletionNewParamsPromptUnion{OfString: openai.String(prompt)},
		MaxTokens:   openai.Int(tokens),
		Temperature: openai.Float(0),
	}
}

func TestOpenAICompletions(t *testing.T) {
	_, c := serve(t, engine.Config{})
	p := completionParams("The time to first", 12)
	p.Logprobs = openai.Int(3)
	p.Echo = openai.Bool(true)
	whole, err := c.Completions.New(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, whole.Choices, 1)
	assert.True(t, strings.HasPrefix(whole.Choices[0].Text, "The time to first token"), whole.Choices[0].Text)
	assert.Equal(t, openai.CompletionChoiceFinishReasonLength, whole.Choices[0].FinishReason)
	assert.EqualValues(t, 18, whole.Usage.PromptTokens)
	assert.EqualValues(t, 12, whole.Usage.CompletionTokens)
	assert.EqualValues(t, 30, whole.Usage.TotalTokens)
	lp := whole.Choices[0].Logprobs
	assert.Len(t, lp.Tokens, 30)
	assert.Contains(t, lp.JSON.TopLogprobs.Raw(), "[null,{", "the official client cannot read the null of the first token, which the real servers send too")

	p = completionParams("The time to first", 12)
	p.Logprobs = openai.Int(3)
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := c.Completions.NewStreaming(t.Context(), p)
	var text strings.Builder
	var usage openai.CompletionUsage
	chunks := 0
	for stream.Next() {
		for _, ch := range stream.Current().Choices {
			text.WriteString(ch.Text)
			require.Len(t, ch.Logprobs.TopLogprobs, 1)
			assert.Len(t, ch.Logprobs.TopLogprobs[0], 3)
			chunks++
		}
		if u := stream.Current().Usage; u.TotalTokens > 0 {
			usage = u
		}
	}
	require.NoError(t, stream.Err())
	assert.Equal(t, 12, chunks)
	assert.Equal(t, strings.TrimPrefix(whole.Choices[0].Text, "The time to first"), text.String())
	assert.EqualValues(t, 30, usage.TotalTokens)
}

func TestOpenAICompletionsOfSeveralPromptsAndIDs(t *testing.T) {
	_, c := serve(t, engine.Config{})
	p := completionParams("", 4)
	p.Prompt = openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"The cache", "A queue"}}
	p.N = openai.Int(2)
	p.Temperature = openai.Float(0.8)
	p.Seed = openai.Int(5)
	out, err := c.Completions.New(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, out.Choices, 4)
	again, err := c.Completions.New(t.Context(), p)
	require.NoError(t, err)
	for i, ch := range out.Choices {
		assert.EqualValues(t, i, ch.Index)
		assert.Equal(t, ch.Text, again.Choices[i].Text, "the same seed draws the same")
	}
	assert.EqualValues(t, 10+8, out.Usage.PromptTokens, "a prompt counts once")
	assert.EqualValues(t, 16, out.Usage.CompletionTokens)

	p = completionParams("", 2)
	p.Prompt = openai.CompletionNewParamsPromptUnion{OfArrayOfTokens: []int64{84, 104}}
	out, err = c.Completions.New(t.Context(), p)
	require.NoError(t, err)
	assert.EqualValues(t, 2, out.Usage.PromptTokens)
	p.Prompt = openai.CompletionNewParamsPromptUnion{OfArrayOfTokenArrays: [][]int64{{84}, {104, 101}}}
	out, err = c.Completions.New(t.Context(), p)
	require.NoError(t, err)
	assert.EqualValues(t, 3, out.Usage.PromptTokens)
	assert.Len(t, out.Choices, 2)
}

func TestOpenAIStop(t *testing.T) {
	_, c := serve(t, engine.Config{})
	p := completionParams("The scheduler", 60)
	p.Stop = openai.CompletionNewParamsStopUnion{OfStringArray: []string{"same", "never"}}
	out, err := c.Completions.New(t.Context(), p)
	require.NoError(t, err)
	assert.Equal(t, openai.CompletionChoiceFinishReasonStop, out.Choices[0].FinishReason)
	assert.NotContains(t, out.Choices[0].Text, "same")
	assert.True(t, strings.HasSuffix(out.Choices[0].Text, "the "), out.Choices[0].Text)

	// an end that the model finds itself, and one that it may not have
	chat := chatParams("What is a good value for the time between tokens?", 4000)
	chat.Temperature = openai.Float(1)
	chat.Seed = openai.Int(1)
	got, err := c.Chat.Completions.New(t.Context(), chat)
	require.NoError(t, err)
	assert.Equal(t, "stop", got.Choices[0].FinishReason)
	got, err = c.Chat.Completions.New(t.Context(), chat, option.WithJSONSet("min_tokens", 4000))
	require.NoError(t, err)
	assert.Equal(t, "length", got.Choices[0].FinishReason)
	got, err = c.Chat.Completions.New(t.Context(), chat, option.WithJSONSet("ignore_eos", true))
	require.NoError(t, err)
	assert.EqualValues(t, 4000, got.Usage.CompletionTokens)
}

func chatParams(question string, tokens int64) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:               engine.ModelName,
		Messages:            []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage(question)},
		MaxCompletionTokens: openai.Int(tokens),
		Temperature:         openai.Float(0),
	}
}

func TestOpenAIChat(t *testing.T) {
	_, c := serve(t, engine.Config{})
	p := chatParams("How many requests?", 30)
	p.Logprobs = openai.Bool(true)
	p.TopLogprobs = openai.Int(2)
	whole, err := c.Chat.Completions.New(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, whole.Choices, 1)
	require.Len(t, whole.Choices[0].Logprobs.Content, 30)
	for _, tok := range whole.Choices[0].Logprobs.Content {
		assert.LessOrEqual(t, tok.Logprob, 0.0)
		assert.Len(t, tok.TopLogprobs, 2)
		assert.GreaterOrEqual(t, tok.TopLogprobs[0].Logprob, tok.TopLogprobs[1].Logprob)
	}

	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := c.Chat.Completions.NewStreaming(t.Context(), p)
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		require.True(t, acc.AddChunk(stream.Current()))
	}
	require.NoError(t, stream.Err())
	assert.Equal(t, whole.Choices[0].Message.Content, acc.Choices[0].Message.Content)
	assert.EqualValues(t, "assistant", acc.Choices[0].Message.Role)
	assert.Equal(t, "length", acc.Choices[0].FinishReason)
	assert.Equal(t, whole.Usage.TotalTokens, acc.Usage.TotalTokens)
}

// What the real servers answer to what cannot be, as the official client
// understands it.
func TestOpenAIErrors(t *testing.T) {
	_, c := serve(t, engine.Config{APIKey: "k3y", Tune: func(p *schedule.Profile) { p.MaxModelLen = 100 }})
	with := func(change func(*openai.CompletionNewParams)) openai.CompletionNewParams {
		p := completionParams("The", 2)
		change(&p)
		return p
	}
	for name, x := range map[string]struct {
		params openai.CompletionNewParams
		opts   []option.RequestOption
		status int
		want   string
	}{
		"key":         {with(func(*openai.CompletionNewParams) {}), []option.RequestOption{option.WithAPIKey("wrong")}, 401, "API key"},
		"model":       {with(func(p *openai.CompletionNewParams) { p.Model = "gpt" }), nil, 404, "does not exist"},
		"long prompt": {completionParams(strings.Repeat("a", 100), 1), nil, 400, "maximum context length is 100 tokens. However, your request has 101 input"},
		"long answer": {completionParams("The", 97), nil, 400, "you requested 101 tokens (4 in the prompt, 97 in the completion)"},
		"temperature": {with(func(p *openai.CompletionNewParams) { p.Temperature = openai.Float(-1) }), nil, 400, "temperature is -1"},
		"n":           {with(func(p *openai.CompletionNewParams) { p.N = openai.Int(0) }), nil, 400, "n is 0"},
		"logprobs":    {with(func(p *openai.CompletionNewParams) { p.Logprobs = openai.Int(21) }), nil, 400, "logprobs is 21: want 0 to 20"},
		"no such id": {with(func(p *openai.CompletionNewParams) {
			p.Prompt.OfString = openai.CompletionNewParams{}.Prompt.OfString
			p.Prompt.OfArrayOfTokens = []int64{1, 258}
		}), nil, 400, "token id 258 (position 1) is out of vocabulary"},
		"prompt's type": {with(func(*openai.CompletionNewParams) {}), []option.RequestOption{option.WithJSONSet("prompt", true)}, 400, "prompt must be a text"},
		"field's type":  {with(func(*openai.CompletionNewParams) {}), []option.RequestOption{option.WithJSONSet("max_tokens", "many")}, 400, "max_tokens"},
		"no JSON":       {with(func(*openai.CompletionNewParams) {}), []option.RequestOption{option.WithRequestBody("application/json", strings.NewReader("{"))}, 400, "not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Completions.New(t.Context(), x.params, x.opts...)
			var api *openai.Error
			require.True(t, errors.As(err, &api), "%v", err)
			assert.Equal(t, x.status, api.StatusCode)
			assert.Contains(t, api.Message, x.want)
		})
	}
}

func TestOpenAILoading(t *testing.T) {
	e, c := serve(t, engine.Config{LoadTime: time.Hour})
	_, err := c.Models.List(t.Context())
	var api *openai.Error
	require.True(t, errors.As(err, &api))
	assert.Equal(t, 503, api.StatusCode)
	resp, err := http.Get(e.URL() + "/health")
	require.NoError(t, err)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	assert.Equal(t, 503, resp.StatusCode)
}

// With a queue limit, who comes too many is told so at once.
func TestOpenAIQueueLimit(t *testing.T) {
	e, c := serve(t, engine.Config{Tune: func(p *schedule.Profile) {
		p.Limits.MaxRunning, p.Limits.MaxQueue = 1, 1
		p.Cost.DecodeStep = []schedule.Point{{Batch: 1, Step: 20 * time.Millisecond}}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := c.Completions.NewStreaming(ctx, completionParams("The", 10_000))
	require.True(t, first.Next(), "it runs")
	second := make(chan error, 1)
	go func() {
		_, err := c.Completions.New(ctx, completionParams("The", 1)) // it waits
		second <- err
	}()
	require.Eventually(t, func() bool {
		resp, err := http.Get(e.URL() + "/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(b), `vllm:num_requests_waiting{engine="0",model_name="inferbench-ngram"} 1`)
	}, 10*time.Second, time.Millisecond)
	http.DefaultClient.CloseIdleConnections()
	_, err := c.Completions.New(ctx, completionParams("The", 1))
	var api *openai.Error
	require.True(t, errors.As(err, &api), "%v", err)
	assert.Equal(t, 429, api.StatusCode)
	assert.Equal(t, "1", api.Response.Header.Get("Retry-After"))
	require.NoError(t, first.Close()) // the first goes away, and the second runs
	assert.NoError(t, <-second)
}
