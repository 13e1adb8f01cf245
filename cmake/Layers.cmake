# wk_layer(NAME DIR <folder> SOURCES … USES …) makes a static library wk_<name> whose headers are
# included as "<name>/header.h". Its include path holds the layers it uses and no others, so a wrong
# include does not compile: ${CMAKE_BINARY_DIR}/layers/<name> holds one link, <name> -> <folder>.
function(wk_layer name)
    cmake_parse_arguments(L "" "DIR" "SOURCES;USES;LINK" ${ARGN})
    if(NOT L_DIR)
        set(L_DIR ${CMAKE_CURRENT_SOURCE_DIR})
    endif()
    set(view ${CMAKE_BINARY_DIR}/layers/${name})
    file(MAKE_DIRECTORY ${view})
    file(CREATE_LINK ${L_DIR} ${view}/${name} SYMBOLIC)
    add_library(wk_${name} STATIC ${L_SOURCES})
    target_include_directories(wk_${name} PUBLIC ${view})
    foreach(used ${L_USES})
        target_link_libraries(wk_${name} PUBLIC wk_${used})
    endforeach()
    target_link_libraries(wk_${name} PUBLIC ${L_LINK})
endfunction()
