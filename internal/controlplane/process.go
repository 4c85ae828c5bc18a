package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// stopGrace is how long a process may take to end by itself. An API server
	// with open watches took 1 s.
	stopGrace = 5 * time.Second

	// tailLines and tailBytes bound what is shown of the log of a process that
	// died.
	tailLines = 15
	tailBytes = 16 << 10

	// mostLog is how long a log may be and still be written on.
	mostLog = 10 << 20
)

// Process is one running child, with its output in a log file.
type Process struct {
	name    string
	logPath string
	logged  int64 // by earlier runs
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process is gone
	exitErr error         // valid after done
}

// StartProcess runs a program in the working directory dir, with its output in
// the file logPath, after what is there already: why the last run ended is worth
// most after a restart. A long one is moved to logPath.1 first. Environment entries
// in env are added to the caller's own. The child has its own process group and, on
// Linux, dies with the caller.
func StartProcess(name, path string, args, env []string, dir, logPath string) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(logPath), 0o700); err != nil {
		return nil, fmt.Errorf("log folder of %s: %w", name, err)
	}
	log, logged, err := openLog(logPath)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor

	cmd := exec.Command(path, args...) //nolint:noctx // it lives until Stop, not until a context ends
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = childAttributes()
	p := &Process{name: name, logPath: logPath, logged: logged, cmd: cmd, done: make(chan struct{})}
	if err := p.launch(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// openLog opens a log to append to it, and says how long it is.
func openLog(path string) (log *os.File, size int64, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() > mostLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, err
		}
	}
	if log, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, 0, err
	}
	info, err := log.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, log.Close())
	}
	return log, info.Size(), nil
}

// launch starts the child on a thread that lives as long as the child: Linux
// sends the parent-death signal when the forking thread ends, not the process.
func (p *Process) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.exitErr = p.cmd.Wait()
		close(p.done)
	}()
	return <-started
}

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Name is what the process was called when it was started.
func (p *Process) Name() string { return p.name }

// PID is the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is the path of the file that holds the output.
func (p *Process) Log() string { return p.logPath }

// Err describes how the process ended, with its last log lines. It must be
// called after Done only.
func (p *Process) Err() error {
	how := "exit status 0"
	if p.exitErr != nil {
		how = p.exitErr.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); its last lines in %s:\n%s", p.name, how, p.logPath, p.Tail())
}

// Stop asks the process and its children to end and kills them after a few
// seconds. It returns when they are gone.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	_ = syscall.Kill(-p.PID(), syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return p.kill()
	}
}

// kill ends the process at once.
func (p *Process) kill() error {
	err := syscall.Kill(-p.PID(), syscall.SIGKILL)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s (process %d): %w", p.name, p.PID(), err)
	}
	<-p.done
	return nil
}

// Tail returns the last lines that the process logged, or why they cannot be had.
func (p *Process) Tail() string {
	file, err := os.Open(p.logPath)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil {
		_, _ = file.Seek(max(p.logged, info.Size()-tailBytes), io.SeekStart)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
