package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	short = 10 * time.Second // for what takes milliseconds
	long  = time.Minute      // for a start on a busy machine
)

// shared serves the tests that stop nothing.
var shared *ControlPlane

func TestMain(m *testing.M) {
	if os.Getenv("CONTROLPLANE_TEST_PARENT") != "" {
		os.Exit(m.Run()) // this process only starts a child
	}
	var err error
	if shared, err = Start(context.Background(), Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestStopLeavesNothingBehind(t *testing.T) {
	cp := start(t, Options{})
	pids := cp.PIDs()
	if len(pids) != 3 {
		t.Fatalf("PIDs() = %v, want etcd, kube-apiserver and kube-controller-manager", pids)
	}
	for name, pid := range pids {
		if !alive(pid) {
			t.Errorf("%s (process %d) does not run after Start", name, pid)
		}
	}
	if err := cp.Stop(); err != nil {
		t.Fatalf("Stop() = %v", err)
	}
	for name, pid := range pids {
		if alive(pid) {
			t.Errorf("%s (process %d) runs after Stop", name, pid)
		}
	}
	if _, err := os.Stat(cp.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("temporary folder after Stop: Stat = %v, want not found", err)
	}
	if err := cp.Err(); err != nil {
		t.Errorf("Err() = %v after Stop, want nil: nothing died by itself", err)
	}
}

func TestFailedStartLeavesNothingBehind(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	_, err := Start(t.Context(), Options{APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("Start() = %v, want the last log lines of kube-apiserver", err)
	}
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) != 0 {
		t.Errorf("temporary folder holds %v (%v) after a failed start, want nothing", left, err)
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := Start(t.Context(), Options{Assets: t.TempDir()})
	if err == nil {
		t.Fatal("Start() without programs: no error")
	}
	for _, part := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "make controlplane"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("Start() = %q, want it to name %q", err, part)
		}
	}
}

func TestADeadPartIsReported(t *testing.T) {
	cp := start(t, Options{})
	if err := syscall.Kill(cp.PIDs()["etcd"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	select {
	case <-cp.Done():
	case <-ctx.Done():
		t.Fatal("Done() is open after etcd was killed")
	}
	err := cp.Err()
	if err == nil || !strings.Contains(err.Error(), "etcd ended by itself (signal: killed)") {
		t.Errorf("Err() = %v, want that etcd was killed", err)
	}
}

func TestRestartKeepsObjectsPortAndCredentials(t *testing.T) {
	options := Options{Dir: t.TempDir()}
	first := start(t, options)
	host, kubeconfig := first.Config().Host, read(t, first.Kubeconfig())
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept", Namespace: "default"}}
	_, err := client(t, first.Config()).CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), options); err == nil || !strings.Contains(err.Error(), "another control plane uses it") {
		t.Errorf("second Start() with the same folder = %v, want a refusal", err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(options.Dir, "logs", "kube-apiserver.log")
	logged := read(t, log)

	second := start(t, options)
	if second.Config().Host != host {
		t.Errorf("address after restart = %s, want %s", second.Config().Host, host)
	}
	if read(t, second.Kubeconfig()) != kubeconfig {
		t.Error("kubeconfig changed over the restart")
	}
	if now := read(t, log); !strings.HasPrefix(now, logged) || len(now) == len(logged) {
		t.Errorf("the log of the first run is lost: %d bytes, %d before", len(now), len(logged))
	}
	_, err = client(t, second.Config()).CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Errorf("object after restart: %v", err)
	}
}

func TestAKubeconfigThatPeopleAddedToIsBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := func(host string) *rest.Config { return &rest.Config{Host: host, BearerToken: "of " + host} }
	if err := mergeKubeconfig(config("https://127.0.0.1:1"), path); err != nil {
		t.Fatal(err)
	}
	edited, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited.AuthInfos["nobody"] = &clientcmdapi.AuthInfo{Token: "mine"}
	edited.Contexts["nobody"] = &clientcmdapi.Context{Cluster: kubeconfigName, AuthInfo: "nobody", Namespace: "shop"}
	edited.Contexts[kubeconfigName].Namespace = "ci"
	edited.CurrentContext = "nobody"
	if err := clientcmd.WriteToFile(*edited, path); err != nil {
		t.Fatal(err)
	}

	if err := mergeKubeconfig(config("https://127.0.0.1:2"), path); err != nil {
		t.Fatal(err)
	}
	now, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if now.CurrentContext != "nobody" || now.Contexts["nobody"].Namespace != "shop" || now.AuthInfos["nobody"].Token != "mine" || now.Contexts[kubeconfigName].Namespace != "ci" {
		t.Errorf("what people added is lost: %+v", now)
	}
	if now.Clusters[kubeconfigName].Server != "https://127.0.0.1:2" || now.AuthInfos[kubeconfigName].Token != "of https://127.0.0.1:2" {
		t.Errorf("ours is not up to date: %+v", now)
	}

	if err := os.WriteFile(path, []byte("spoilt: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mergeKubeconfig(config("https://127.0.0.1:3"), path); err == nil || !strings.Contains(err.Error(), path) || read(t, path) != "spoilt: [" {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

func TestALongLogIsKeptBesideTheNewOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, step := range []struct {
		size, want int64
		moved      bool
	}{{0, 0, false}, {mostLog, mostLog, false}, {mostLog + 1, 0, true}} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, step.size); err != nil {
			t.Fatal(err)
		}
		log, size, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + ".1"); size != step.want || (err == nil) != step.moved {
			t.Errorf("%d bytes: written on after %d, moved: %v", step.size, size, err == nil)
		}
	}
}

func TestATakenPortIsReplaced(t *testing.T) {
	options := Options{Dir: t.TempDir()}
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blocker := listen(t, port)
	defer func() { _ = blocker.Close() }()
	if err := os.WriteFile(filepath.Join(options.Dir, portFile), []byte(portString(port)), 0o600); err != nil {
		t.Fatal(err)
	}
	cp := start(t, options)
	if cp.port == port {
		t.Errorf("API server listens on %d, which is taken", port)
	}
	if err := get(t.Context(), httpClient(t, cp), cp.Config().Host+"/readyz"); err != nil {
		t.Errorf("API server on its new port: %v", err)
	}
}

func TestServiceAccountConfigHasOnlyItsOwnRights(t *testing.T) {
	cp := shared
	admin := client(t, cp.Config())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader", Namespace: "default"}}
	if _, err := admin.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cp.Kubectl(t.Context(), "create", "role", "reader", "--verb=list", "--resource=configmaps"); err != nil {
		t.Fatal(err)
	}
	if _, err := cp.Kubectl(t.Context(), "create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"); err != nil {
		t.Fatal(err)
	}
	config, err := cp.ServiceAccountConfig(t.Context(), "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	reader := client(t, config)
	eventually(t, func(ctx context.Context) error {
		_, err := reader.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err
	})
	if _, err := reader.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list of Secrets = %v, want forbidden", err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := WriteKubeconfig(config, path); err != nil {
		t.Fatal(err)
	}
	who, err := cp.Kubectl(t.Context(), "--kubeconfig="+path, "auth", "whoami", "-o=jsonpath={.status.userInfo.username}")
	if err != nil || who != "system:serviceaccount:default:reader" {
		t.Errorf("kubeconfig of the account says %q, %v", who, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the kubeconfig = %v, %v, want 0600", info.Mode(), err)
	}
}

func start(t *testing.T, options Options) *ControlPlane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	cp, err := Start(ctx, options)
	if err != nil {
		t.Fatalf("Start() = %v", err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Errorf("Stop() = %v", err)
		}
	})
	return cp
}

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// eventually polls until check returns nil.
func eventually(t *testing.T, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, short, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

// alive asks the kernel; a process that ended and was waited for is not.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
