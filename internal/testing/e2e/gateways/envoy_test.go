//go:build e2e

package gateways

import (
	"os"
	"path/filepath"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"sigs.k8s.io/yaml"
)

// TestEnvoyWouldTakeItsExample reads the file as Envoy does: every field and type
// has to be known, and every message to hold what its schema demands.
func TestEnvoyWouldTakeItsExample(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root(t), "config", "gateways", "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	json, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(json, bootstrap); err != nil {
		t.Fatal(err)
	}
	checked := 0
	// Typed configurations are opened on the way.
	err = protorange.Range(bootstrap.ProtoReflect(), func(values protopath.Values) error {
		message, ok := values.Index(-1).Value.Interface().(interface{ Interface() proto.Message })
		if !ok {
			return nil
		}
		valid, ok := message.Interface().(interface{ ValidateAll() error })
		if !ok {
			return nil
		}
		checked++
		if err := valid.ValidateAll(); err != nil {
			t.Errorf("%v: %v", values.Path, err)
		}
		return nil
	})
	if err != nil || checked < 50 {
		t.Errorf("checked %d messages, %v", checked, err)
	}
}
