package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// parentEnv makes the test binary play a parent that starts a child and waits
// to be killed.
const parentEnv = "CONTROLPLANE_TEST_PARENT"

func TestAChildDiesWithAKilledParent(t *testing.T) {
	if folder := os.Getenv(parentEnv); folder != "" {
		playParent(t, folder)
		return
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAChildDiesWithAKilledParent$", "-test.v")
	parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	child := readPID(t, bufio.NewScanner(output))
	if gone(child) {
		t.Fatalf("child %d does not run", child)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it says that it was killed
	eventually(t, func(context.Context) error {
		if gone(child) {
			return nil
		}
		return errors.New("the child runs although its parent was killed")
	})
}

func playParent(t *testing.T, folder string) {
	t.Helper()
	p, err := StartProcess("sleep", "/bin/sleep", []string{"300"}, nil, folder, filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(os.Stdout, "child %d\n", p.PID())
	<-p.Done()
}

func readPID(t *testing.T, lines *bufio.Scanner) int {
	t.Helper()
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "child "); ok {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the parent named no child")
	return 0
}

// gone is also true of a process that ended and that nobody waited for: in a
// container without an init such a one stays in the table.
func gone(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}
