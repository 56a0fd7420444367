//! An inventory as CycloneDX 1.5 JSON.

use serde_json::{Value, json};

use super::inventory::Inventory;
use super::{Subject, TOOL, VERSION};

/// The document.
pub fn cyclonedx(subject: &Subject, inventory: &Inventory) -> Value {
    let distribution = inventory.distribution();
    let mut components = Vec::new();
    if !distribution.id.is_empty() {
        components.push(json!({
            "type": "operating-system",
            "bom-ref": "distribution",
            "name": distribution.id,
            "version": distribution.version,
        }));
    }
    for package in inventory.packages() {
        let purl = package.purl(distribution);
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": package.name,
            "version": package.version,
            "purl": purl,
            "properties": [{"name": "imgbuild:found-in", "value": format!("/{}", package.found_in)}],
        });
        if let Some(license) = &package.license {
            component["licenses"] = json!([{"license": {"name": license}}]);
        }
        if let Some(supplier) = &package.supplier {
            component["supplier"] = json!({"name": supplier});
        }
        components.push(component);
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial(subject),
        "version": 1,
        "metadata": {
            "timestamp": subject.time(),
            "tools": {"components": [{"type": "application", "name": TOOL, "version": VERSION}]},
            "component": {
                "type": "container",
                "bom-ref": subject.digest.to_string(),
                "name": "image",
                "version": subject.digest.to_string(),
            },
        },
        "components": components,
    })
}

/// A UUID of version 8 (RFC 9562): the beginning of the image's digest.
fn serial(subject: &Subject) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&subject.digest.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
