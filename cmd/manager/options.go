package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/controllers/tokenrecord"
	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
)

// options are what the flags say.
type options struct {
	program.Options
	leaderElect bool
	workers     int
	retention   time.Duration
	keyMaxAge   time.Duration
	auditLog    string
}

// parseOptions reads the command line. Every problem is reported at once, each
// with the flag that it is about.
func parseOptions(arguments []string, environment func(string) string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	o.Register(flags, environment, ":8443")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "act only while holding the Lease, so that several replicas can run")
	flags.IntVar(&o.workers, "workers", 16, "how many AccessTokens are worked on at once")
	flags.DurationVar(&o.retention, "record-retention", tokenrecord.DefaultRetention, "how long the record of an ended token is kept")
	flags.DurationVar(&o.keyMaxAge, "key-max-age", 365*24*time.Hour, "age at which a new key is added beside the earlier ones, 0 for never")
	flags.StringVar(&o.auditLog, "audit-log", audit.Stdout, "file to append the audit log to, opened anew on SIGHUP; - for standard output, empty for none")
	if err := program.Parse(flags, arguments, output); err != nil {
		return o, err
	}
	return o, o.validate()
}

func (o options) validate() error {
	problems := o.Problems()
	if o.workers < 1 {
		problems = append(problems, fmt.Errorf("--workers: %d is not at least 1", o.workers))
	}
	if o.retention < 0 {
		problems = append(problems, fmt.Errorf("--record-retention: %s is negative", o.retention))
	}
	if o.keyMaxAge < 0 {
		problems = append(problems, fmt.Errorf("--key-max-age: %s is negative", o.keyMaxAge))
	}
	return errors.Join(problems...)
}
