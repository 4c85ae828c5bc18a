package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: dev up      control plane and operator in the foreground, state in .dev/
       dev demo    a tour of the operator on a control plane of its own
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	commands := map[string]func(context.Context) error{"up": up, "demo": demo}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	err := commands[os.Args[1]](ctx)
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "\n"+err.Error())
		os.Exit(interruptedCode)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// errInterrupted says that somebody ended it before it had ended by itself.
var errInterrupted = errors.New("interrupted, everything is stopped")

// interruptedCode is what shells give for a program that SIGINT ended.
const interruptedCode = 130
