package controlplane

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/assets"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// Options say how a control plane is started. The zero value is good.
type Options struct {
	// Dir keeps certificates, keys, the port and all stored objects, so that a
	// later start goes on where the last one ended. One control plane can use it
	// at a time. Empty means a new temporary folder that Stop removes.
	Dir string

	// Assets is the folder in which the programs are looked up first. Empty
	// means the one that KUBEBUILDER_ASSETS names.
	Assets string

	// Progress is told what is being waited for, in a few words. Nil is silent.
	Progress func(string)

	// APIServerArgs are further arguments of kube-apiserver; a later one wins.
	APIServerArgs []string

	// Verifier makes kube-apiserver ask a verifier about access tokens. Nil means
	// that it asks nobody.
	Verifier *Verifier

	// Clock dates the certificates. Nil means the real clock.
	Clock clock.PassiveClock
}

// ControlPlane is a running control plane. Its methods may be called from
// several goroutines.
type ControlPlane struct {
	options   Options
	dir       string
	temporary bool
	assets    assets.Set
	pki       *pki
	port      int
	unlock    func() error
	admin     *rest.Config

	verifierAddress string // empty: kube-apiserver asks nobody

	mu        sync.Mutex
	processes []*Process // in the order of their start
	stopping  bool
	err       error

	done     chan struct{} // closed by the first part that dies by itself
	stopOnce sync.Once
	stopErr  error
}

// Start starts a control plane and returns when the API server says that it is
// ready, after 4 to 5 s on two cores. When it fails, nothing is left running,
// and no temporary folder behind. ctx bounds only the start.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Assets == "" {
		options.Assets = os.Getenv(assets.EnvFolder)
	}
	found, err := assets.Find(options.Assets)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{options: options, assets: found, done: make(chan struct{})}
	if err := cp.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start control plane: %w", err), cp.Stop())
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context) error {
	if err := cp.prepareFolder(); err != nil {
		return err
	}
	var err error
	if cp.pki, err = newPKI(filepath.Join(cp.dir, "pki"), cp.options.Clock.Now()); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(cp.dir, auditPolicyFile), auditPolicy); err != nil {
		return err
	}
	if err := cp.prepareVerifier(ctx); err != nil {
		return err
	}
	if err := cp.startEtcd(); err != nil {
		return err
	}
	if err := cp.startAPIServer(ctx); err != nil {
		return err
	}
	return cp.startControllerManager()
}

// prepareFolder makes the state folder and takes its lock.
func (cp *ControlPlane) prepareFolder() error {
	var err error
	if cp.options.Dir == "" {
		cp.temporary = true
		cp.dir, err = os.MkdirTemp("", "accesstoken-controlplane-")
	} else if cp.dir, err = filepath.Abs(cp.options.Dir); err == nil {
		err = os.MkdirAll(cp.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	cp.unlock, err = lockFolder(cp.dir)
	return err
}

// add keeps a started process and watches for its end.
func (cp *ControlPlane) add(p *Process) {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	cp.processes = append(cp.processes, p)
	go func() {
		<-p.Done()
		cp.partEnded(p)
	}()
}

// partEnded reports the first part that ended though nobody asked it to.
func (cp *ControlPlane) partEnded(p *Process) {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.stopping || cp.err != nil {
		return
	}
	cp.err = p.Err()
	close(cp.done)
}

// Done is closed when any part dies by itself; Err then says which. It stays
// open through Stop.
func (cp *ControlPlane) Done() <-chan struct{} { return cp.done }

// Err names the part that died and quotes its last log lines. Nil before Done.
func (cp *ControlPlane) Err() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	return cp.err
}

// PIDs returns the process ID of each running server by the name of its program.
func (cp *ControlPlane) PIDs() map[string]int {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	pids := map[string]int{}
	for _, p := range cp.processes {
		pids[p.name] = p.PID()
	}
	return pids
}

// Dir is the state folder.
func (cp *ControlPlane) Dir() string { return cp.dir }

// AuditLog is the path of the API server's audit log: one JSON object a line,
// with the bodies of our own kinds and with metadata only of all others. In a
// temporary folder it holds everything since Start; in a kept one it is rotated
// at 100 MB.
func (cp *ControlPlane) AuditLog() string { return filepath.Join(cp.dir, auditLogFile) }

// Stop ends all processes, gives the state folder free and removes it when it is
// a temporary one. It may be called more than once.
func (cp *ControlPlane) Stop() error {
	cp.stopOnce.Do(func() { cp.stopErr = cp.stop() })
	return cp.stopErr
}

func (cp *ControlPlane) stop() error {
	cp.mu.Lock()
	cp.stopping = true
	processes := cp.processes
	cp.mu.Unlock()

	var errs []error
	for i := len(processes) - 1; i >= 0; i-- {
		if cp.temporary { // nothing to be written down in good order
			errs = append(errs, processes[i].kill())
		} else {
			errs = append(errs, processes[i].Stop())
		}
	}
	if cp.unlock != nil {
		errs = append(errs, cp.unlock())
	}
	if cp.temporary && cp.dir != "" {
		errs = append(errs, os.RemoveAll(cp.dir))
	}
	return errors.Join(errs...)
}
