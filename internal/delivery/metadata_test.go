package delivery_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/delivery"
)

func TestTheOperatorsLabelComesBeforeThoseOfTheTemplate(t *testing.T) {
	template := v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"team": "shop", v1alpha1.LabelAccessToken: "other"},
		Annotations: map[string]v1alpha1.AnnotationValue{"note": "{{ .Token }}"},
	}
	if diff := cmp.Diff(map[string]string{"team": "shop", v1alpha1.LabelAccessToken: "deploy"}, delivery.Labels(template, "deploy")); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"note": "{{ .Token }}"}, delivery.Annotations(template)); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if got := template.Labels[v1alpha1.LabelAccessToken]; got != "other" {
		t.Errorf("the template was changed: %q", got)
	}
}

func TestChangesAreWhatDiffers(t *testing.T) {
	current := map[string]string{"same": "1", "changed": "old", "dropped": "ours", "theirs": "x", "empty": ""}
	wanted := map[string]string{"same": "1", "changed": "new", "missing": "", "empty": ""}
	want := map[string]*string{"changed": new("new"), "missing": new(""), "dropped": nil}
	if diff := cmp.Diff(want, delivery.Changes(current, wanted, []string{"same", "changed", "dropped"})); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := delivery.Changes(current, map[string]string{"same": "1"}, nil); len(got) > 0 {
		t.Errorf("nothing differs, and changes are %v", got)
	}
}

func TestOwnedMetadataIsWhatOnlyTheManagerWrote(t *testing.T) {
	patched := entry(manager, `{"f:metadata":{"f:labels":{"f:patched":{},"f:both":{}},"f:annotations":{".":{},"f:accesstoken.dev/revision":{}}}}`)
	patched.Operation = metav1.ManagedFieldsOperationUpdate
	fields := []metav1.ManagedFieldsEntry{
		entry(manager, `{"f:metadata":{"f:labels":{".":{},"f:applied":{},"f:shared":{},"f:both":{}},"f:annotations":{"f:note":{}},"f:finalizers":{"f:no":{}}},"f:data":{"f:token":{}}}`),
		patched,
		entry("other", `{"f:metadata":{"f:labels":{"f:shared":{},"f:theirs":{}}}}`),
	}
	labels, annotations := delivery.OwnedMetadata(fields, manager)
	if diff := cmp.Diff([]string{"applied", "both", "patched"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"accesstoken.dev/revision", "note"}, annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"note"}, delivery.Free(annotations)); diff != "" {
		t.Errorf("those that are not the operator's (-want +got):\n%s", diff)
	}
	labels, annotations = delivery.OwnedMetadata(append(fields, entry("other", `{`)), manager)
	if labels != nil || annotations != nil {
		t.Errorf("of what cannot be read %v and %v are ours", labels, annotations)
	}
}
