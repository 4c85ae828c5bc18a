package cputime

import (
	"syscall"
	"testing"
	"time"
)

// Report measures from now until the function that it returns is called, and
// reports the CPU time of this process for each operation, client and server
// together.
func Report(b *testing.B) func() {
	b.Helper()
	before := used(b)
	return func() {
		b.ReportMetric(float64(used(b)-before)/float64(b.N), "cpu-ns/op")
	}
}

func used(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
