package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

var errHelp = flag.ErrHelp

// measurement is one thing that is measured.
type measurement struct {
	name  string
	about string
	run   func(context.Context, *bench, *results) error
}

var measurements = []measurement{
	{"single", "one token in an idle cluster, created to Ready", measureSingle},
	{"throughput", "N tokens created at once, to Ready; then the manager is restarted over them", measureThroughput},
	{"precision", "rotation and expiry against their due moments", measurePrecision},
	{"drain", "many rotations due at one instant", measureDrain},
	{"exactlyonce", "one published token per due moment, with writes that fail", measureExactlyOnce},
	{"admission", "one AccessToken created, with the admission policies and without", measureAdmission},
	{"ending", "how soon verifiers refuse what ends, and are ready", measureEnding},
	{"verification", "each protocol of the verifier over indexes of several sizes", measureVerification},
}

// options are what the flags say.
type options struct {
	sizes     []int
	workers   int
	rotations int
	indexes   []int
	loaded    int
	only      []string
	folder    string
	profile   bool
}

func (o options) selected(name string) bool {
	return len(o.only) == 0 || slices.Contains(o.only, name)
}

func parseOptions(arguments []string, output io.Writer) (options, error) {
	root, err := assets.ModuleRoot()
	if err != nil {
		return options{}, err
	}
	o := options{}
	var sizes, indexes, only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&sizes, "n", "1000,5000", "how many AccessTokens the throughput is measured with, one or more numbers")
	flags.IntVar(&o.workers, "workers", 0, "--workers of the manager; 0 leaves its default, and 32 where writes fail")
	flags.IntVar(&o.rotations, "rotations", 5000, "how many rotations exactlyonce counts")
	flags.StringVar(&indexes, "indexes", "1000,10000,100000,1000000", "how many tokens verification knows, one or more numbers")
	flags.IntVar(&o.loaded, "loaded", 10000, "how many tokens the verifiers know while others end")
	flags.StringVar(&only, "only", "", "measure only these, one or more names: "+names())
	flags.StringVar(&o.folder, "out", filepath.Join(root, ".dev", "bench"), "folder for the results as JSON")
	flags.BoolVar(&o.profile, "profile", false, "also profile manager and API server during throughput, into the folder; the figures then include what that takes")
	flags.Usage = func() {
		_, _ = fmt.Fprintln(output, "usage: bench [flags]")
		for _, m := range measurements {
			_, _ = fmt.Fprintf(output, "  %-12s %s\n", m.name, m.about)
		}
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return o, err //nolint:wrapcheck // the flag package says which flag
	}
	var problems []error
	if flags.NArg() > 0 {
		problems = append(problems, fmt.Errorf("unexpected argument %q: everything is a flag", flags.Arg(0)))
	}
	if o.sizes, err = parseSizes("-n", sizes); err != nil {
		problems = append(problems, err)
	}
	if o.indexes, err = parseSizes("-indexes", indexes); err != nil {
		problems = append(problems, err)
	}
	if o.only, err = parseNames(only); err != nil {
		problems = append(problems, err)
	}
	if o.workers < 0 || o.rotations < 1 || o.loaded < 1 {
		problems = append(problems, errors.New("-workers, -rotations and -loaded must be positive"))
	}
	if most := max(slices.Max(append(o.sizes, 0)), o.loaded); most > mostTokens {
		problems = append(problems, fmt.Errorf("-n and -loaded: %d tokens are more than the %d that a namespace can have", most, mostTokens))
	}
	return o, errors.Join(problems...)
}

func parseSizes(flag, text string) ([]int, error) {
	var sizes []int
	for field := range strings.SplitSeq(text, ",") {
		size, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || size < 1 {
			return nil, fmt.Errorf("%s: %q is not a number of tokens such as 5000", flag, field)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

func parseNames(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	only := strings.Split(text, ",")
	for i, name := range only {
		only[i] = strings.TrimSpace(name)
		if !slices.ContainsFunc(measurements, func(m measurement) bool { return m.name == only[i] }) {
			return nil, fmt.Errorf("-only: %q is none of %s", name, names())
		}
	}
	return only, nil
}

func names() string {
	var all []string
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return strings.Join(all, ",")
}
