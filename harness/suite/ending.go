package suite

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopped returns a context that ends with Ctrl+C, SIGTERM or a hangup (a closed
// terminal, a lost connection). Whatever of these comes a little later ends the
// process at once: one hangup, or one Ctrl+C through a wrapper such as timeout,
// can bring two signals within an instant.
func stopped() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(context.Background())
	came := make(chan os.Signal, 1)
	signal.Notify(came, signals...)
	go func() {
		select {
		case <-came:
			cancel()
			time.Sleep(oneSignal)
		case <-ctx.Done():
		}
		signal.Stop(came) // from here on a signal does what it does to any process
	}()
	return ctx, cancel
}

// oneSignal is how long after a signal another one still counts as the same.
const oneSignal = 200 * time.Millisecond

// keepWriting lets the sweep outlive whoever reads its output: a write into a
// closed pipe is then an error, which nobody minds, not the process's end.
func keepWriting() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
