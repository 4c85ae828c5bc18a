package recorder_test

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	"github.com/accesstoken-dev/accesstoken-operator/internal/recorder"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func TestANoteIsCutBetweenCharacters(t *testing.T) {
	for name, note := range map[string]string{
		"short":                         "all is well",
		"as long as can be":             strings.Repeat("x", recorder.MostNote),
		"a byte too long":               strings.Repeat("x", recorder.MostNote+1),
		"of characters of three bytes":  strings.Repeat("€", recorder.MostNote),
		"the same, a byte further":      "x" + strings.Repeat("€", recorder.MostNote),
		"the same, two bytes further":   "xx" + strings.Repeat("€", recorder.MostNote),
		"of what is no text":            strings.Repeat("\x80", 2*recorder.MostNote),
		"with what looks like a format": "100%s of " + strings.Repeat("%d", recorder.MostNote),
	} {
		fake := events.NewFakeRecorder(1)
		recorder.Cut(fake).Eventf(nil, nil, corev1.EventTypeNormal, "Told", "Tell", "%s", note)
		got := strings.TrimPrefix(<-fake.Events, "Normal Told ")
		kept, cut := strings.CutSuffix(got, "…")
		switch {
		case len(got) > recorder.MostNote || cut && len(got) < recorder.MostNote-utf8.UTFMax && utf8.ValidString(note):
			t.Errorf("%s: %d bytes", name, len(got))
		case cut != (len(note) > recorder.MostNote) || !strings.HasPrefix(note, kept):
			t.Errorf("%s: %q", name, got)
		case utf8.ValidString(note) && !utf8.ValidString(got):
			t.Errorf("%s: cut within a character", name)
		}
	}
}

// TestTheAPIServerTakesANoteOfAnyLength writes an event that it would refuse.
func TestTheAPIServerTakesANoteOfAnyLength(t *testing.T) {
	g, namespace := gomega.NewWithT(t), testenv.Namespace(t)
	api := kubernetes.NewForConfigOrDie(testenv.Config(t))
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: api.EventsV1()})
	g.Expect(broadcaster.StartRecordingToSinkWithContext(t.Context())).To(gomega.Succeed())
	t.Cleanup(broadcaster.Shutdown)
	about := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "builder", UID: "uid"}}
	recorder.Cut(broadcaster.NewRecorder(clientgoscheme.Scheme, "test")).
		Eventf(about, nil, corev1.EventTypeWarning, "Told", "Tell", "%s", strings.Repeat("€", 70_000))
	g.Eventually(func() ([]eventsv1.Event, error) {
		list, err := api.EventsV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
		return list.Items, err
	}).WithTimeout(20 * time.Second).Should(gomega.ConsistOf(gomega.HaveField("Note", gomega.HaveSuffix("€…"))))
}
