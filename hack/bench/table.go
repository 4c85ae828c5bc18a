package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
)

// row is one figure. Floor is what a plain client reached, and Ratio is Value
// over Floor; both are absent where there is no floor.
type row struct {
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Unit  string   `json:"unit"`
	Floor *float64 `json:"floor,omitempty"`
	Ratio *float64 `json:"ratio,omitempty"`

	aim aim
}

// aim is what a figure should be. The zero aim is none.
type aim struct {
	most, least float64
	set         bool
	ofRatio     bool // the aim is about the ratio, not the value
	must        bool // missing it fails the run
}

func atMost(most float64) aim      { return aim{most: most, set: true} }
func leastRatio(least float64) aim { return aim{least: least, set: true, ofRatio: true} }
func mostRatio(most float64) aim   { return aim{most: most, set: true, ofRatio: true} }
func within(least, most float64) aim {
	return aim{least: least, most: most, set: true}
}

// mustBeZero is the aim of what is wrong, not slow.
func mustBeZero() aim { return aim{set: true, must: true} }

func (r row) met() bool {
	value := r.Value
	if r.aim.ofRatio {
		if r.Ratio == nil {
			return false
		}
		value = *r.Ratio
		if r.aim.most == 0 {
			return value >= r.aim.least
		}
	}
	return value >= r.aim.least && value <= r.aim.most
}

func (a aim) String() string {
	switch {
	case !a.set:
		return ""
	case a.must:
		return "must be 0"
	case a.ofRatio && a.most > 0:
		return "ratio <= " + figure(a.most)
	case a.ofRatio:
		return "ratio >= " + figure(a.least)
	case a.least > 0:
		return figure(a.least) + " to " + figure(a.most)
	}
	return "<= " + figure(a.most)
}

// results are the rows of one measurement.
type results struct{ rows []row }

// add takes a figure without a floor.
func (r *results) add(name string, value float64, unit string, a aim) {
	r.rows = append(r.rows, row{Name: name, Value: value, Unit: unit, aim: a})
}

// addBeside takes a figure and its floor.
func (r *results) addBeside(name string, value, floor float64, unit string, a aim) {
	ratio := value / floor
	r.rows = append(r.rows, row{Name: name, Value: value, Unit: unit, Floor: &floor, Ratio: &ratio, aim: a})
}

// wrong is what was found that no slowness explains.
func (r *results) wrong() []error {
	var wrong []error
	for _, row := range r.rows {
		if row.aim.must && !row.met() {
			wrong = append(wrong, fmt.Errorf("%s is %s, and %s", row.Name, figure(row.Value), row.aim))
		}
	}
	return wrong
}

func (b *bench) printTable(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tVALUE\tUNIT\tFLOOR\tRATIO\tAIM\tMET")
	for _, r := range b.results {
		floor, ratio, met := "", "", ""
		if r.Floor != nil {
			floor, ratio = figure(*r.Floor), strconv.FormatFloat(*r.Ratio, 'f', 2, 64)
		}
		if r.aim.set {
			met = map[bool]string{true: "yes", false: "NO"}[r.met()]
		}
		_, _ = fmt.Fprintln(t, strings.Join([]string{r.Name, figure(r.Value), r.Unit, floor, ratio, r.aim.String(), met}, "\t"))
	}
	_ = t.Flush()
}

// figure prints three significant digits, and whole numbers whole.
func figure(value float64) string {
	switch {
	case value == float64(int64(value)), value >= 100:
		return strconv.FormatFloat(value, 'f', 0, 64)
	case value >= 10:
		return strconv.FormatFloat(value, 'f', 1, 64)
	case value >= 0.1:
		return strconv.FormatFloat(value, 'f', 2, 64)
	}
	return strconv.FormatFloat(value, 'g', 2, 64)
}

func writeJSON(folder, name string, rows []row) error {
	if rows == nil {
		rows = []row{}
	}
	content, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results of %s: %w", name, err)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("folder of the results: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".json"), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write results of %s: %w", name, err)
	}
	return nil
}
