// Command engine runs the embedded engine alone, so that any client can be
// pointed at it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"inferbench/harness/engine"
)

func main() {
	cfg := engine.Config{APIKey: os.Getenv("API_KEY")}
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 8888, "port to listen on")
	flag.StringVar(&cfg.Profile, "profile", "", "speed profile: a shipped one's name or a .json path")
	flag.Parse()
	cfg.Addr = fmt.Sprintf("%s:%d", *host, *port)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e, err := engine.Start(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("engine: serving %s on %s\n", engine.ModelName, e.URL())
	<-ctx.Done()
	if err := e.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
