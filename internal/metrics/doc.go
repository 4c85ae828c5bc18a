// Package metrics owns every metric of this project: its name, its labels, and
// the closed sets that label values come from. Counters carry no object names;
// what is told of single tokens comes from a collector that reads the cache at
// each scrape, and so goes when the object does.
package metrics
