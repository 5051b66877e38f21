package submit

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// dryRun shows what would be sent of figures that are not stored.
func (c *Client) dryRun(ctx context.Context, dir string, f Figures) Outcome {
	s := &Submission{Figures: f, path: filepath.Join(dir, f.fileName())}
	if err := s.readResult(); err != nil {
		return c.note(Outcome{Figures: f, Status: Refused, Reason: err.Error()})
	}
	s.Key = s.key()
	return c.show(ctx, s)
}

// show prints what would be sent: each field with its name, and what each rule
// says, also of what goes nowhere. It starts no board; a board that cannot be
// reached is taken for a Gradio one, unless it would be the own one.
func (c *Client) show(ctx context.Context, s *Submission) Outcome {
	address, refusal := c.route(s.Figures)
	report, illegal := c.legal(s, address)
	var b strings.Builder
	own := true
	if refusal != nil {
		fmt.Fprintf(&b, "%s\n  to nowhere: %s\n", s.Figures.Name(), refusal)
	} else {
		refusal = illegal
		if address == "" {
			address = c.o.OwnURL
		} else {
			own = c.isOwn(ctx, address) == nil
		}
		c.showRequest(&b, s, address, own)
	}
	if s.Figures.complete() == "" && (s.Figures.hasBaseline() || !own) {
		fields := s.Figures.Fields()
		fmt.Fprintf(&b, "  %d fields\n", len(fields))
		for _, f := range fields {
			fmt.Fprintf(&b, "    %-22s %v\n", f.Name, f.Value)
		}
	}
	if report != nil {
		b.WriteString("  rules\n")
		for _, l := range report {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	fmt.Fprintln(c.o.Out, b.String())
	if refusal != nil {
		return c.note(Outcome{Figures: s.Figures, Status: Refused, Board: address, Reason: refusal.Error()})
	}
	return Outcome{Figures: s.Figures, Status: DryRun, Board: address}
}

// showRequest writes where a submission would go and with which headers, the
// secrets left out.
func (c *Client) showRequest(b *strings.Builder, s *Submission, address string, own bool) {
	path := submitPath
	if own {
		path = ownPath
	}
	fmt.Fprintf(b, "%s\n  to POST %s%s\n", s.Figures.Name(), address, path)
	if setting, token := c.tokenFor(address); token != "" {
		fmt.Fprintf(b, "  with Authorization: Bearer (%s, not shown)\n", setting)
	}
	fmt.Fprintf(b, "  with Idempotency-Key: %s\n", s.Key)
	if own && s.result != nil {
		fmt.Fprintf(b, "  with the result file %s, %d bytes\n", s.Figures.ResultFile, len(s.result))
	}
}
