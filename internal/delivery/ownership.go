package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// OwnsData reports whether each of the keys is one of OwnedData. It is false
// without keys.
func OwnsData(fields []metav1.ManagedFieldsEntry, manager string, keys []string) bool {
	owned := OwnedData(fields, manager)
	return len(keys) > 0 && !slices.ContainsFunc(keys, func(key string) bool { return !slices.Contains(owned, key) })
}

// OwnedData returns the keys, in order, that still hold what the manager
// applied, whether or not others applied the same. Whoever else changes or
// removes a key takes it from the manager. One way of writing does not: an apply
// of stringData is recorded as just that, and leaves the manager the key under
// data though its value is gone; so a key that somebody else owns under
// stringData is not the manager's either. There are none where managedFields
// cannot be read.
func OwnedData(fields []metav1.ManagedFieldsEntry, manager string) []string {
	own, others, err := divide(fields, manager)
	if err != nil {
		return nil
	}
	var keys []string
	own.WithPrefix(fieldpath.FieldNameElement("data")).Iterate(func(p fieldpath.Path) {
		if len(p) != 1 || p[0].FieldName == nil {
			return
		}
		key := *p[0].FieldName
		if !slices.ContainsFunc(others, func(o holding) bool { return o.fields.Has(path("stringData", key)) }) {
			keys = append(keys, key)
		}
	})
	slices.Sort(keys)
	return keys
}

// OwnsAnnotations reports whether each of the annotations still holds what the
// manager applied. It is false where managedFields cannot be read.
func OwnsAnnotations(fields []metav1.ManagedFieldsEntry, manager string, keys []string) bool {
	own, _, err := divide(fields, manager)
	return err == nil && !slices.ContainsFunc(keys, func(key string) bool {
		return !own.Has(path("metadata", "annotations", key))
	})
}

// OwnedMetadata returns the labels and annotations, in order, that the manager
// wrote in whatever way and nobody else owns too. There are none where
// managedFields cannot be read.
func OwnedMetadata(fields []metav1.ManagedFieldsEntry, manager string) (labels, annotations []string) {
	_, others, err := divide(fields, manager)
	if err != nil {
		return nil, nil
	}
	own := fieldpath.NewSet()
	for _, entry := range fields {
		if set, err := decode(entry); err == nil && entry.Manager == manager {
			own = own.Union(set)
		}
	}
	for _, o := range others {
		own = own.Difference(o.fields)
	}
	return namesBelow(own, "labels"), namesBelow(own, "annotations")
}

// namesBelow are the labels or annotations in a set.
func namesBelow(set *fieldpath.Set, kind string) []string {
	var names []string
	set.WithPrefix(fieldpath.FieldNameElement("metadata")).WithPrefix(fieldpath.FieldNameElement(kind)).Iterate(func(p fieldpath.Path) {
		if len(p) == 1 && p[0].FieldName != nil {
			names = append(names, *p[0].FieldName)
		}
	})
	slices.Sort(names)
	return names
}

// OthersHold reports whether anybody keeps something in the Secret that the
// manager does not own too: a key, label, annotation or finalizer. It is true
// where managedFields are missing or cannot be read.
func OthersHold(fields []metav1.ManagedFieldsEntry, manager string) bool {
	own, others, err := divide(fields, manager)
	if err != nil || len(fields) == 0 {
		return true
	}
	return slices.ContainsFunc(others, func(o holding) bool {
		rest := o.fields.Difference(own)
		return holds(rest, contentPaths) || holds(rest, metadataPaths)
	})
}

// Foreign returns the names, in order, of those who own keys in the Secret that
// the manager does not own too, as far as managedFields can be read.
func Foreign(fields []metav1.ManagedFieldsEntry, manager string) []string {
	own, others, _ := divide(fields, manager) // what is unreadable names nobody
	var names []string
	for _, o := range others {
		if holds(o.fields.Difference(own), contentPaths) {
			names = append(names, o.manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// holding is what somebody owns.
type holding struct {
	manager string
	fields  *fieldpath.Set
}

// divide reads what the manager owns by server-side apply, and what others own
// in whatever way. The error tells of the entries that cannot be read; the rest
// is returned beside it. What was written under the manager's name without
// apply is nobody's.
func divide(entries []metav1.ManagedFieldsEntry, manager string) (own *fieldpath.Set, others []holding, err error) {
	own = fieldpath.NewSet()
	for _, entry := range entries {
		set, decodeErr := decode(entry)
		switch {
		case decodeErr != nil:
			err = errors.Join(err, decodeErr)
		case entry.Manager != manager:
			others = append(others, holding{entry.Manager, set})
		case entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "":
			own = own.Union(set)
		}
	}
	return own, others, err
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

func decode(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := fieldpath.NewSet()
	if entry.FieldsV1 == nil {
		return set, nil
	}
	if entry.FieldsType != "FieldsV1" {
		return nil, fmt.Errorf("fields of manager %q have the unknown type %q", entry.Manager, entry.FieldsType)
	}
	if err := set.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())); err != nil {
		return nil, fmt.Errorf("read fields of manager %q: %w", entry.Manager, err)
	}
	return set, nil
}
