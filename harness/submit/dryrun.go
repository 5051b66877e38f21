package submit

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// dryRun prints the request of figures that are not stored.
func (c *Client) dryRun(ctx context.Context, dir string, f Figures) Outcome {
	s := &Submission{Figures: f, path: filepath.Join(dir, f.fileName())}
	if err := s.readResult(); err != nil {
		return c.note(Outcome{Figures: f, Status: Refused, Reason: err.Error()})
	}
	s.Key = s.key()
	return c.printRequest(ctx, s)
}

// printRequest prints what would be sent, to the byte but for the token. It
// starts no board; a board that cannot be reached is taken for a Gradio one,
// unless it would be the own one.
func (c *Client) printRequest(ctx context.Context, s *Submission) Outcome {
	address, err := c.route(s.Figures)
	if err != nil {
		return c.note(Outcome{Figures: s.Figures, Status: Refused, Reason: err.Error()})
	}
	own := address == ""
	if own {
		address = c.o.OwnURL
	} else {
		own = c.isOwn(ctx, address) == nil
	}
	path, build := submitPath, s.gradioBody
	if own {
		path, build = ownPath, s.ownBody
	}
	body, err := build()
	if err != nil {
		return c.note(Outcome{Figures: s.Figures, Status: Refused, Reason: err.Error()})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s%s\nContent-Type: application/json\nIdempotency-Key: %s\n", address, path, s.Key)
	if setting, token := c.tokenFor(address); token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer (%s, not shown)\n", setting)
	}
	fmt.Fprintf(c.o.Out, "%s\n%s\n\n", b.String(), body)
	return Outcome{Figures: s.Figures, Status: DryRun, Board: address}
}
