package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

func TestQuantile(t *testing.T) {
	hundred := spread{}
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		sample spread
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0},
		{spread{7}, 0.99, 7},
		{spread{3, 1, 2}, 0.5, 2},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := c.sample.quantile(c.q); got != c.want {
			t.Errorf("quantile %v of %d: %v, want %v", c.q, len(c.sample), got, c.want)
		}
	}
}

func TestParseCPU(t *testing.T) {
	got, err := parseCPU([]byte("42 (a (odd) name) S 1 42 42 0 -1 4194304 1 0 0 0 150 25 0 0 20 0 8 0 100\n"))
	if err != nil || got != 1750*time.Millisecond {
		t.Errorf("CPU time %s, error %v; want 1.75s", got, err)
	}
	if _, err := parseCPU([]byte("42 (short) S 1")); err == nil {
		t.Error("a line without CPU time was read")
	}
}

func TestParseKB(t *testing.T) {
	if got := parseKB([]byte("Name:\tx\nVmHWM:\t  100000 kB\nVmRSS:\t 5 kB\n"), "VmHWM:"); got != 102.4 {
		t.Errorf("peak memory %v MB, want 102.4", got)
	}
}

func TestCountRequests(t *testing.T) {
	log := strings.Join([]string{
		`{"stage":"ResponseComplete","verb":"create","user":{"username":"me"},"objectRef":{"resource":"tokenrecords","namespace":"ns"}}`,
		`{"stage":"ResponseComplete","verb":"patch","user":{"username":"me"},"objectRef":{"resource":"accesstokens","subresource":"status","namespace":"ns"}}`,
		`{"stage":"ResponseComplete","verb":"patch","user":{"username":"another"},"objectRef":{"resource":"secrets","namespace":"ns","name":"me"}}`,
		`{"stage":"ResponseStarted","verb":"watch","user":{"username":"me"},"objectRef":{"resource":"secrets"}}`,
		`{"stage":"ResponseComplete","verb":"watch","user":{"username":"me"},"objectRef":{"resource":"secrets"}}`,
		`{"stage":"ResponseComplete","verb":"cre`,
	}, "\n")
	inside, others, err := countRequests(strings.NewReader(log), "me", "ns")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(requestCount{"create tokenrecords": 1, "patch accesstokens/status": 1}, inside); diff != "" {
		t.Errorf("inside the namespace (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(requestCount{"watch secrets": 1}, others); diff != "" {
		t.Errorf("elsewhere (-want +got):\n%s", diff)
	}
}

func TestPublicationsForOneDueMoment(t *testing.T) {
	start := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	published := publications{"a": {1: start, 2: start.Add(onceInterval), 4: start.Add(2*onceInterval + time.Second)}}
	records := issuedRecords{
		"a 1": {at: start}, "a 2": {at: start.Add(onceInterval)},
		"a 3": {at: start.Add(2 * onceInterval), reason: v1alpha1.EndReasonUnpublished}, // lost on its way
		"a 4": {at: start.Add(2*onceInterval + time.Second)},
	}
	c := published.count(records)
	if c.rotations != 2 || len(c.twice) != 0 || c.unseen != 0 || c.longest != time.Second {
		t.Errorf("counted %+v, want two rotations, the later a second late", c)
	}

	published["a"][5] = start.Add(3 * onceInterval)
	records["a 5"] = issuedRecord{at: start.Add(3 * onceInterval)} // a second before the interval is over
	published["b"] = map[int64]time.Time{1: start}
	c = published.count(records)
	if len(c.twice) != 1 || c.unseen != 1 {
		t.Errorf("counted %+v, want one publication too many and one without a record", c)
	}
}

func TestLateAndEarly(t *testing.T) {
	due := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	d := newDueMoments()
	d.announce("late 2", v1alpha1.NewTimestamp(due))
	d.announce("early 2", v1alpha1.NewTimestamp(due))
	d.secret["late 2"], d.status["late 2"] = due.Add(10*time.Millisecond), due.Add(30*time.Millisecond)
	d.secret["early 2"], d.status["early 2"] = due.Add(-time.Millisecond), due.Add(time.Millisecond)
	d.secret["unannounced 2"] = due
	late, early := d.late()
	if diff := cmp.Diff(spread{30 * time.Millisecond}, late); diff != "" {
		t.Errorf("late (-want +got):\n%s", diff)
	}
	if early != 2 {
		t.Errorf("%d early, want the one before its due moment and the one that nothing announced", early)
	}
}

func TestAims(t *testing.T) {
	half := 0.5
	for _, c := range []struct {
		row  row
		want bool
	}{
		{row{Value: 1.5, aim: atMost(1.5)}, true},
		{row{Value: 1.6, aim: atMost(1.5)}, false},
		{row{Value: 0.95, aim: within(0.9, 1.1)}, true},
		{row{Value: 1.2, aim: within(0.9, 1.1)}, false},
		{row{Value: 100, Ratio: &half, aim: leastRatio(0.5)}, true},
		{row{Value: 100, Ratio: &half, aim: leastRatio(0.8)}, false},
		{row{Value: 100, Ratio: &half, aim: mostRatio(0.5)}, true},
		{row{Value: 0, Ratio: &half, aim: mostRatio(0.4)}, false},
		{row{Value: 1, aim: mustBeZero()}, false},
	} {
		if c.row.met() != c.want {
			t.Errorf("%v with the aim %q is met: %t, want %t", c.row.Value, c.row.aim, c.row.met(), c.want)
		}
	}
	r := results{}
	r.add("slow", 9, "s", atMost(1))
	r.add("double", 1, "", mustBeZero())
	if wrong := r.wrong(); len(wrong) != 1 {
		t.Errorf("%v fails the run, want only what is wrong", wrong)
	}
}
