package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tour is the script of the demo. Each stop shows one thing that the operator
// does and checks that it did.
type tour struct {
	*shell
	state  string   // folder of the control plane
	ids    []string // of the tokens of deploy-shop, in the order of their issue
	tokens []string // every token that was seen, to look for afterwards
}

type stop struct {
	title string
	visit func()
}

func (t *tour) stops() []stop {
	return []stop{
		{"Declare a token", t.declare},
		{"Use it: the Secret holds the token, and only the Secret does", t.readSecret},
		{"The record holds a sealed hash", t.readRecord},
		{"Use it with kubectl: kube-apiserver asks the verifier", t.useWithKubectl},
		{"Scopes hold inside kube-apiserver: RBAC alone does not do", t.exceedScopes},
		{"What a token may do cannot be changed behind its holder's back", t.widenScopes},
		{"Rotate: the old token stays good while its holders fetch the new one", t.rotate},
		{"The overlap ends", t.endOverlap},
		{"Somebody with every right in the namespace cannot forge or revive a token", t.attack},
		{"Take it back", t.revoke},
		{"A token ends by itself at its moment", t.expire},
		{"Deleting an AccessToken ends its token and takes the Secret with it", t.remove},
		{"Nothing else has seen a token", t.searchForTokens},
	}
}

func (t *tour) declare() {
	_, err := t.quiet("kubectl create namespace ci && kubectl config set-context --current --namespace=ci")
	if err != nil {
		t.fail("make namespace ci: %v", err)
	}
	t.run("cat deploy-shop.yaml")
	t.run("kubectl apply -f deploy-shop.yaml")
	t.run("kubectl wait --for=condition=Ready --timeout=20s accesstoken/deploy-shop")
	t.run("kubectl get accesstokens -o wide")
	t.ids = t.statusTokens()
	t.expect(len(t.ids) == 1, "one token is good")
}

func (t *tour) readSecret() {
	token := t.run(`kubectl get secret deploy-shop -o go-template='{{.data.token | base64decode}}{{"\n"}}'`)
	t.sawToken(token)
	t.expect(wholeToken.MatchString(token), "a whole token is in the Secret; this screen hides most of it")
}

func (t *tour) readRecord() {
	record := t.run("kubectl get tokenrecord " + t.last() + ` -o yaml | sed -n '/^spec:/,$p'`)
	t.expect(strings.Contains(record, "seal:") && !wholeToken.MatchString(record), "a hash and a seal, no token")
}

// presenting is kubectl with nothing but the token of the AccessToken reader.
const presenting = `kubectl --kubeconfig=nobody.kubeconfig --token="$(kubectl get secret reader -o go-template='{{.data.token | base64decode}}')"`

func (t *tour) useWithKubectl() {
	_, err := t.quiet(`kubectl config view --raw --minify | sed '/^users:/,$d' > nobody.kubeconfig &&
		kubectl --kubeconfig=nobody.kubeconfig config set-context nobody --cluster=accesstoken --namespace=ci &&
		kubectl --kubeconfig=nobody.kubeconfig config use-context nobody`)
	if err != nil {
		t.fail("make a kubeconfig without a user: %v", err)
	}
	t.run("cat reader.yaml")
	t.run("kubectl apply -f reader.yaml")
	t.run("kubectl wait --for=condition=Ready --timeout=20s accesstoken/reader")
	secret, _ := t.quiet(`kubectl get secret reader -o go-template='{{.data.token | base64decode}}'`)
	t.sawToken(secret)
	who := t.until(presenting+" auth whoami", func(output string) bool { return strings.Contains(output, "accesstoken:ci:reader") })
	t.expect(strings.Contains(who, "accesstokens:ci"), "the token is its own principal, in the group of its namespace")
	t.run(presenting + " get configmaps -o name")
}

func (t *tour) exceedScopes() {
	t.run("kubectl create rolebinding reader-edits --clusterrole=edit --user=accesstoken:ci:reader")
	t.run("kubectl auth can-i create configmaps --as=accesstoken:ci:reader")
	t.refused(presenting+" create configmap mine", "scope")
	t.refused(presenting+" get secrets", "forbidden")
}

func (t *tour) widenScopes() {
	t.refused(`kubectl patch accesstoken deploy-shop --type=merge -p '{"spec":{"scopes":["admin"]}}'`,
		"cannot be changed, added or removed after creation")
}

func (t *tour) rotate() {
	t.run("kubectl annotate accesstoken deploy-shop accesstoken.dev/rotate-requested-at=$(date -u +%Y-%m-%dT%H:%M:%SZ)")
	t.run("kubectl wait --for=jsonpath='{.status.revision}'=2 --timeout=20s accesstoken/deploy-shop")
	t.run(`kubectl get accesstoken deploy-shop -o jsonpath='{range .status.tokens[*]}revision {.revision}: {.id}, ends {.expiresAt}{"\n"}{end}'`)
	both := t.statusTokens()
	t.expect(len(both) == 2, "two tokens are good")
	secret, _ := t.quiet(`kubectl get secret deploy-shop -o go-template='{{.data.token | base64decode}}'`)
	t.sawToken(secret)
	for _, id := range both {
		if id != t.last() && strings.Contains(secret, id) {
			t.ids = append(t.ids, id)
			break
		}
	}
	t.expect(len(t.ids) == 2, "the Secret holds the new one")
}

func (t *tour) endOverlap() {
	left := t.until(`kubectl get accesstoken deploy-shop -o jsonpath='{range .status.tokens[*]}revision {.revision}: {.id}{"\n"}{end}'`,
		func(output string) bool { return strings.Count(output, "revision") == 1 })
	t.expect(strings.Contains(left, t.last()), "only the new token is good")
	t.run("kubectl get tokenrecords")
}

func (t *tour) attack() {
	t.run("kubectl create role everything --verb='*' --resource='*.*'")
	t.run("kubectl create rolebinding mallory --role=everything --user=mallory")
	t.run("kubectl auth can-i update tokenrecords/status --as=mallory")
	t.refused("kubectl --as=mallory create -f forged.yaml", "only accounts that hold the verb issue")
	t.refused("kubectl --as=mallory patch tokenrecord "+t.last()+` --subresource=status --type=merge -p '{"status":{"maxAgeSeconds":999999}}'`,
		"only accounts that hold the verb issue")
	t.refused("kubectl --as=mallory patch tokenrecord "+t.ids[0]+` --subresource=status --type=merge -p '{"status":null}'`, "status")
}

func (t *tour) revoke() {
	t.run(`kubectl patch accesstoken deploy-shop --type=merge -p '{"spec":{"state":"Revoked"}}'`)
	t.run("kubectl wait --for=condition=Valid=False --timeout=20s accesstoken/deploy-shop")
	t.until("kubectl get secret deploy-shop", func(output string) bool { return strings.Contains(output, "NotFound") })
	records := t.until("kubectl get tokenrecords", func(output string) bool { return strings.Contains(output, "Revoked") })
	t.expect(strings.Contains(records, t.last()), "the Secret is gone, and the record says since when the token is refused")
	token, _ := t.quiet("kubectl get secret reader -o go-template='{{.data.token | base64decode}}'")
	if err := os.WriteFile(filepath.Join(t.folder, "stolen"), []byte(token), 0o600); err != nil {
		t.fail("keep a token: %v", err)
	}
	t.run(`kubectl patch accesstoken reader --type=merge -p '{"spec":{"state":"Revoked"}}'`)
	refused := t.until(`kubectl --kubeconfig=nobody.kubeconfig --token="$(cat stolen)" get configmaps`,
		func(output string) bool { return strings.Contains(output, "Unauthorized") })
	t.expect(strings.Contains(refused, "Unauthorized"), "the verifier refused it within a second; kube-apiserver keeps what it was told for 10 s")
}

func (t *tour) expire() {
	t.run("cat short.yaml")
	t.run("kubectl apply -f short.yaml")
	t.run("kubectl wait --for=condition=Ready --timeout=20s accesstoken/short")
	secret, _ := t.quiet(`kubectl get secret short -o go-template='{{.data.token | base64decode}}'`)
	t.sawToken(secret)
	t.run("kubectl wait --for=condition=Valid=False --timeout=20s accesstoken/short")
	t.run("kubectl get accesstoken short")
	reason, _ := t.quiet(`kubectl get accesstoken short -o jsonpath='{.status.conditions[?(@.type=="Valid")].reason}'`)
	t.expect(reason == "Expired", "it expired; nobody asked it to")
	t.until("kubectl get secret short", func(output string) bool { return strings.Contains(output, "NotFound") })
}

func (t *tour) remove() {
	t.run("kubectl apply -f git-bot.yaml")
	t.run("kubectl wait --for=condition=Ready --timeout=20s accesstoken/git-bot")
	netrc := t.run(`kubectl get secret git-bot -o go-template='{{index .data ".netrc" | base64decode}}'`)
	t.sawToken(netrc)
	t.expect(strings.Contains(netrc, "git.example.com"), "a .netrc that git and curl can use")
	t.run("kubectl delete accesstoken --all")
	t.until("kubectl get secrets,tokenrecords", func(output string) bool { return strings.Contains(output, "No resources found") })
}

// searchForTokens looks where a token must never be: in logs, in the audit log
// and in events. What our own kinds hold is in the audit log.
func (t *tour) searchForTokens() {
	events, err := t.quiet("kubectl get events.events.k8s.io -A -o yaml")
	if err != nil {
		t.fail("read events: %v", err)
	}
	if err := os.WriteFile(filepath.Join(t.state, "events.yaml"), []byte(events), 0o600); err != nil {
		t.fail("keep events: %v", err)
	}
	found := t.run(fmt.Sprintf(`cd %s && grep -rlE 'kat_[a-z2-7]{16}_[0-9A-Za-z]{49}' logs audit.log events.yaml || echo none`, t.state))
	t.expect(strings.TrimSpace(found) == "none", "the manager's log, the API server's audit log and the events hold no token")
	t.expect(len(t.tokens) == 5 && t.encodedTokens() == "", "nor any of the %d tokens of this tour in base64", len(t.tokens))
}

// encodedTokens names the first file that holds a token of the tour in base64.
func (t *tour) encodedTokens() string {
	files, err := filepath.Glob(filepath.Join(t.state, "logs", "*"))
	if err != nil {
		return err.Error()
	}
	for _, file := range append(files, filepath.Join(t.state, "audit.log"), filepath.Join(t.state, "events.yaml")) {
		content, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		for _, token := range t.tokens {
			if holdsEncoded(string(content), token) {
				return file
			}
		}
	}
	return ""
}

// holdsEncoded looks for base64 in which the token begins at any of the three
// alignments; bits that neighbours share are left out.
func holdsEncoded(content, token string) bool {
	for shift := range 3 {
		whole := token[shift:]
		whole = whole[:len(whole)/3*3]
		if strings.Contains(content, base64.StdEncoding.EncodeToString([]byte(whole))) {
			return true
		}
	}
	return false
}

// statusTokens returns the IDs of the tokens that are good.
func (t *tour) statusTokens() []string {
	ids, err := t.quiet(`kubectl get accesstoken deploy-shop -o jsonpath='{.status.tokens[*].id}'`)
	if err != nil {
		t.fail("read status.tokens: %v", err)
	}
	return strings.Fields(ids)
}

func (t *tour) sawToken(text string) {
	if token := wholeToken.FindString(text); token != "" {
		t.tokens = append(t.tokens, token)
	}
}

// last is the ID of the newest token of deploy-shop.
func (t *tour) last() string {
	if len(t.ids) == 0 {
		return ""
	}
	return t.ids[len(t.ids)-1]
}
