/*
 * Stands in for libcurl in the image. One program asks for it: tpm2_getekcertificate, which can fetch a certificate
 * from the TPM maker's web site. A node never does that; the fleet looks at certificates. The real library would
 * bring GnuTLS, Kerberos, LDAP and ten more along: 4 MB of every image, and loaded by every single tpm2 command.
 */
#include <stddef.h>

enum { FAILED_INIT = 2 }; /* CURLE_FAILED_INIT */

int curl_global_init(long flags) { (void)flags; return FAILED_INIT; }
void curl_global_cleanup(void) {}
void *curl_easy_init(void) { return NULL; }
int curl_easy_setopt(void *handle, int option, ...) { (void)handle; (void)option; return FAILED_INIT; }
int curl_easy_perform(void *handle) { (void)handle; return FAILED_INIT; }
void curl_easy_cleanup(void *handle) { (void)handle; }
const char *curl_easy_strerror(int code) { (void)code; return "this image fetches nothing from the web"; }
char *curl_easy_escape(void *handle, const char *text, int length)
{ (void)handle; (void)text; (void)length; return NULL; }
char *curl_easy_unescape(void *handle, const char *text, int length, int *out)
{ (void)handle; (void)text; (void)length; (void)out; return NULL; }
void curl_free(void *pointer) { (void)pointer; }
