//! An inventory as SPDX 2.3 JSON (the specification's JSON schema).

use serde_json::{Value, json};

use super::inventory::Inventory;
use super::package::Package;
use super::{Subject, TOOL, VERSION};
use crate::digest::Digest;

/// The document.
pub fn spdx(subject: &Subject, inventory: &Inventory) -> Value {
    let image = "SPDXRef-Image";
    let mut packages = vec![json!({
        "SPDXID": image,
        "name": "image",
        "versionInfo": subject.digest.to_string(),
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": subject.digest.hex()}],
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": image,
    })];
    for package in inventory.packages() {
        let purl = package.purl(inventory.distribution());
        // The alphabet of identifiers is small, so the URL itself cannot be one.
        let id = format!("SPDXRef-Package-{}", &Digest::of(purl.as_bytes()).hex()[..16]);
        packages.push(json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "sourceInfo": found(package),
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }],
        }));
        if let (Some(supplier), Some(last)) = (&package.supplier, packages.last_mut()) {
            last["supplier"] = json!(format!("Organization: {supplier}"));
        }
        // Only what is an expression of SPDX may stand where one is wanted; this says it in the package's own words.
        if let (Some(license), Some(last)) = (&package.license, packages.last_mut()) {
            last["licenseComments"] = json!(format!("the package says: {license}"));
        }
        relationships.push(json!({
            "spdxElementId": image,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        }));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.digest.to_string(),
        "documentNamespace": format!("https://spdx.org/spdxdocs/imgbuild-{}", subject.digest.hex()),
        "creationInfo": {"created": subject.time(), "creators": [format!("Tool: {TOOL}-{VERSION}")]},
        "packages": packages,
        "relationships": relationships,
    })
}

fn found(package: &Package) -> String {
    match &package.source {
        Some(source) => format!("found in /{}, built from {source}", package.found_in),
        None => format!("found in /{}", package.found_in),
    }
}
