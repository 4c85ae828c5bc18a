package main

import (
	"errors"
	"os"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

// cpuTimes is the CPU time that the processes of a lab have taken so far.
type cpuTimes struct {
	manager time.Duration // 0 while none runs
	client  time.Duration // this process: it declares, and reads one watch
	server  time.Duration // the API server
	all     time.Duration // these, etcd and the controller manager
}

func (l *lab) cpuTimes() (t cpuTimes, err error) {
	read := func(pid int) time.Duration {
		stat, readErr := readProc(pid)
		err = errors.Join(err, readErr)
		t.all += stat.cpu
		return stat.cpu
	}
	t.client = read(os.Getpid())
	if l.manager != nil {
		t.manager = read(l.manager.PID())
	}
	for name, pid := range l.PIDs() {
		cpu := read(pid)
		if name == assets.APIServer {
			t.server = cpu
		}
	}
	return t, err
}

// cost is CPU time per token, in milliseconds.
type cost struct{ manager, client, server, all float64 }

// since is what n tokens took from an earlier reading to this one.
func (t cpuTimes) since(earlier cpuTimes, n int) cost {
	per := func(d time.Duration) float64 { return milliseconds(d) / float64(n) }
	return cost{
		manager: per(t.manager - earlier.manager), client: per(t.client - earlier.client),
		server: per(t.server - earlier.server), all: per(t.all - earlier.all),
	}
}

// reportCPU adds what the operator's run took, beside the floor. The sum of all
// foretells the rate on a machine that has nothing else to do.
func (r *results) reportCPU(name string, run, floor cost, managerAim aim) {
	if !hasProc() {
		return
	}
	r.addBeside(name+"manager CPU per token", run.manager, floor.client, "ms", managerAim)
	r.addBeside(name+"API server CPU per token", run.server, floor.server, "ms", aim{})
	r.addBeside(name+"CPU of all per token", run.all, floor.all, "ms", aim{})
}
