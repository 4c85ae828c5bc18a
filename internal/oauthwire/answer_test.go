package oauthwire

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNoAnswerMayBeStored(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"an object": func(w http.ResponseWriter) { Write(w, http.StatusOK, map[string]bool{"active": false}) },
		"nothing":   WriteEmpty,
		"a problem": func(w http.ResponseWriter) { WriteProblem(w, Invalid("so")) },
		"no answer": func(w http.ResponseWriter) { WriteProblem(w, Unavailable("so")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			write(w)
			if got := w.Header().Get("Cache-Control") + "; " + w.Header().Get("Pragma"); got != "no-store; no-cache" {
				t.Errorf("Cache-Control; Pragma = %q", got)
			}
			if got := w.Header().Get("Content-Type"); w.Body.Len() > 0 && got != "application/json" {
				t.Errorf("Content-Type = %q", got)
			}
		})
	}
}

func TestAProblemIsAnObjectOfRFC6749(t *testing.T) {
	w := httptest.NewRecorder()
	WriteProblem(w, Unavailable("try again"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" {
		t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	var got map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got["error"] != "temporarily_unavailable" || got["error_description"] != "try again" {
		t.Errorf("body = %s", w.Body)
	}
}

func TestWhatCannotBeEncodedIsNoSuccess(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, http.StatusOK, make(chan int))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status = %d", w.Code)
	}
}
