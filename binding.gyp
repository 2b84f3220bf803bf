# For tools that expect it and for `node-gyp rebuild` in a clone; published packages have none. The addon is built by CMake:
# scripts/addon/build.mjs finds libtorch, runs cmake-js and does nothing where all is up to date.
{
  "targets": [
    {
      "target_name": "neuron_blip_addon",
      "type": "none",
      "actions": [
        {
          "action_name": "build_addon",
          "message": "Building the addon with CMake",
          "inputs": ["native/CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/neuron_blip.node"],
          "action": ["node", "scripts/addon/build.mjs"]
        }
      ]
    }
  ]
}
