package delivery

import (
	"bytes"
	"errors"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// OwnsData reports whether the manager still owns each of the keys under data
// by server-side apply. Whoever else writes a key or removes it, takes it from
// the manager; also with the value that it has, when by apply, both own it. It
// is false without keys, and where managedFields cannot be read.
func OwnsData(fields []metav1.ManagedFieldsEntry, manager string, keys []string) bool {
	owned := &fieldpath.Set{}
	for _, entry := range fields {
		if entry.Manager != manager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" {
			continue
		}
		set, err := decode(entry)
		if err != nil {
			return false
		}
		owned = owned.Union(set)
	}
	for _, key := range keys {
		if !owned.Has(fieldpath.MakePathOrDie("data", key)) {
			return false
		}
	}
	return len(keys) > 0
}

// OthersHold reports whether anybody but the manager keeps something in the
// Secret: a key, label, annotation or finalizer. It is true where managedFields
// are missing or cannot be read.
func OthersHold(fields []metav1.ManagedFieldsEntry, manager string) bool {
	for _, entry := range fields {
		if entry.Manager == manager {
			continue
		}
		set, err := decode(entry)
		if err != nil || holds(set, contentPaths) || holds(set, metadataPaths) {
			return true
		}
	}
	return len(fields) == 0
}

// Foreign returns the names, in order, of those who own keys in the Secret
// beside the manager.
func Foreign(fields []metav1.ManagedFieldsEntry, manager string) []string {
	var names []string
	for _, entry := range fields {
		if entry.Manager == manager {
			continue
		}
		if set, err := decode(entry); err == nil && holds(set, contentPaths) {
			names = append(names, entry.Manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var (
	contentPaths  = []fieldpath.Path{path("data"), path("stringData")}
	metadataPaths = []fieldpath.Path{path("metadata", "labels"), path("metadata", "annotations"), path("metadata", "finalizers")}
)

func path(names ...string) fieldpath.Path {
	var p fieldpath.Path
	for _, name := range names {
		p = append(p, fieldpath.FieldNameElement(name))
	}
	return p
}

// holds reports whether the set has anything below one of the paths.
func holds(set *fieldpath.Set, paths []fieldpath.Path) bool {
	return slices.ContainsFunc(paths, func(p fieldpath.Path) bool {
		below := set
		for _, element := range p {
			below = below.WithPrefix(element)
		}
		return !below.Empty()
	})
}

var errNotFieldsV1 = errors.New("fieldsType is not FieldsV1")

func decode(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if entry.FieldsV1 == nil {
		return set, nil
	}
	if entry.FieldsType != "FieldsV1" {
		return nil, errNotFieldsV1
	}
	err := set.FromJSON(bytes.NewReader(entry.FieldsV1.Raw))
	return set, err
}
