package accuracy

// Window is one scoring request: the log-probabilities of Tokens[From:], each
// given all the tokens before it, are asked for.
type Window struct {
	Tokens []int32
	From   int // length of the context; 1 for a full window
}

// WindowLength is the number of tokens that one window predicts at most for a
// model of maxLength tokens: two fewer, since lm-evaluation-harness's API
// models keep one token for generation and one for context.
func WindowLength(maxLength int) int { return maxLength - 2 }

// RollingWindows cuts tokens into windows that predict each token exactly once.
// The first conditions on prefix; every later one on as much of the text before
// it as makes it full, so that the last reaches back when few tokens are left.
//
// It is lm-evaluation-harness's get_rolling_token_windows (context_len 1)
// followed by make_disjoint_window: the context without what it shares with the
// predicted tokens, then the predicted tokens.
func RollingWindows(tokens []int32, prefix int32, length int) []Window {
	if len(tokens) == 0 || length < 1 {
		return nil
	}
	first := min(length, len(tokens))
	windows := []Window{{Tokens: append([]int32{prefix}, tokens[:first]...), From: 1}}
	for done := first; done < len(tokens); {
		n := min(length, len(tokens)-done)
		done += n
		windows = append(windows, Window{Tokens: tokens[done-length-1 : done], From: length + 1 - n})
	}
	return windows
}
