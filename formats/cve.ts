/** A CVE id: the year, then at least four digits (CVE Record Format 5.1, `cveId`). */
export const CVE = /^CVE-[0-9]{4}-[0-9]{4,19}$/;
