package accesstoken

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatAnAdmissionWebhookRepeatsOfASecretIsTakenOut(t *testing.T) {
	const text = "kat_aaaaaaaaaaaaaaaa_secret"
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	data := map[string][]byte{"token": []byte(text), "config": []byte("machine a password " + text), "empty": {}}
	original := apierrors.NewInternalError(errors.New("webhook got " + text + " as " + encoded))
	original.ErrStatus.Details.Causes = append(original.ErrStatus.Details.Causes, metav1.StatusCause{Message: "in " + string(data["config"])})

	err := redact(original, text, data)
	if !apierrors.IsInternalError(err) {
		t.Errorf("the class of the error is lost: %v", err)
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("%v is no answer of the API server", err)
	}
	texts := []string{status.Status().Message}
	for _, cause := range status.Status().Details.Causes {
		texts = append(texts, cause.Message)
	}
	said := strings.Join(texts, "\n")
	if strings.Contains(said, text) || strings.Contains(said, encoded) {
		t.Errorf("the error still tells the token: %s", said)
	}
	if !strings.Contains(said, "webhook got [redacted] as [redacted]") || !strings.Contains(said, "in [redacted]") {
		t.Errorf("the error tells too little: %s", said)
	}
	if !strings.Contains(original.Error(), text) {
		t.Error("the original was changed")
	}
}

func TestOtherErrorsKeepTheirTextButForTheToken(t *testing.T) {
	if err := redact(errors.New("dial: token t0p"), "t0p", nil); err.Error() != "dial: token [redacted]" {
		t.Errorf("redacted: %v", err)
	}
	if redact(nil, "t0p", nil) != nil {
		t.Error("no error became one")
	}
}

func TestAStatusThatCouldNotBeWrittenTellsWhatElseWentWrong(t *testing.T) {
	denied := errors.New("denied")
	if got := statusUnwritten(denied, nil).Error(); got != "write status: denied" {
		t.Errorf("after a good pass: %s", got)
	}
	got := statusUnwritten(denied, errors.New("no record"))
	if got.Error() != "write status (the pass ended with: no record): denied" || !errors.Is(got, denied) {
		t.Errorf("after a pass that failed: %v", got)
	}
}
