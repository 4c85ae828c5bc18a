package oauthwire

import (
	"encoding/json"
	"maps"
	"net/http"
)

// Write answers with a JSON object. No answer may be stored (RFC 6749 section
// 5.1): what it says can be over in a second.
func Write(w http.ResponseWriter, status int, body any) {
	prepare(w.Header())
	encoded, err := json.Marshal(body)
	if err != nil { // our own types do not fail
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n')) // the client may be gone
}

// WriteEmpty answers with success and nothing else.
func WriteEmpty(w http.ResponseWriter) {
	prepare(w.Header())
	w.WriteHeader(http.StatusOK)
}

// WriteProblem answers with what is wrong.
func WriteProblem(w http.ResponseWriter, problem *Problem) {
	maps.Copy(w.Header(), problem.Header)
	Write(w, problem.Status, problem)
}

func prepare(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
}
