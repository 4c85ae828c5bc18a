package load

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// pinned tells a program that it has been started anew on its processor.
const pinned = "ACCESSTOKEN_BENCH_PINNED"

// Pin keeps the calling program on one processor from here on: it starts itself
// anew, since threads that run already cannot be told. It returns in the new one.
func Pin(cpu int) error {
	if os.Getenv(pinned) != "" {
		return nil
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("stay on processor %d: %w", cpu, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("stay on processor %d: %w", cpu, err)
	}
	return unix.Exec(self, os.Args, append(os.Environ(), pinned+"=1"))
}
