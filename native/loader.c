// Loads a shared library for the whole process. The addons of the platform packages name libtorch's libraries without a
// place: libtorch is loaded by this first, wherever the host has it, and the addon then finds it in the process by its
// name.

#include <dlfcn.h>
#include <node_api.h>
#include <stdlib.h>

// load(path): the library's symbols are there for all that is loaded later. Throws the system's words.
static napi_value Load(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = NULL;
  size_t length = 0;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count < 1 ||
      napi_get_value_string_utf8(env, argument, NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "load takes a path");
    return NULL;
  }
  char* path = malloc(length + 1);
  if (path == NULL || napi_get_value_string_utf8(env, argument, path, length + 1, NULL) != napi_ok) {
    free(path);
    napi_throw_error(env, NULL, "out of memory");
    return NULL;
  }
  void* library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  free(path);
  if (library == NULL) {
    const char* reason = dlerror();
    napi_throw_error(env, NULL, reason == NULL ? "no reason given" : reason);
  }
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value function = NULL;
  if (napi_create_function(env, "load", NAPI_AUTO_LENGTH, Load, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "load", function) != napi_ok) {
    napi_throw_error(env, NULL, "the loader cannot be set up");
    return NULL;
  }
  return exports;
}
